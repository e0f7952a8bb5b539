"""The online role: tiles and table changes to the online store."""

from __future__ import annotations

from typing import Final

from headrace.declare.topics import Topics
from headrace.errors import StoreUnavailable
from headrace.features.online import OnlineSink
from headrace.log.consumer import Consumer
from headrace.roles.context import Context
from headrace.roles.progress import Progress

_AGAIN: Final = 1.0
"""Seconds until a store that does not answer is asked again."""


def run(context: Context) -> None:
    sink = OnlineSink(context.declaration, context.schemas, context.profile.open_online())
    history = Topics.of(context.declaration).history
    marked = [topic for topic in sink.topics if topic != history]
    consumer = Consumer(context.log, marked, sink, unmarked=[history])
    progress = Progress(context)

    def step() -> int:
        try:
            count = consumer.step()
            progress.publish(sink.position(), sink.mark())
        except StoreUnavailable as error:
            context.say.warning("%s", error)
            context.stop.wait(_AGAIN)
            return 0
        return count

    context.loop(step)
