"""The online role: tiles and table changes to the online store."""

from __future__ import annotations

from headrace.features.online import OnlineSink
from headrace.log.consumer import Consumer
from headrace.roles.context import Context, Progress


def run(context: Context) -> None:
    store = context.profile.open_online(context.declaration)
    sink = OnlineSink(context.declaration, context.schemas, store)
    consumer = Consumer(context.log, sink.topics, sink)
    progress = Progress(context)

    def step() -> int:
        count = consumer.step()
        progress.publish(sink.position(), sink.mark())
        return count

    context.loop(step)
