"""The archive role: enriched records, table changes and predictions to Delta tables."""

from __future__ import annotations

from headrace.archive.sink import ArchiveSink
from headrace.log.consumer import Consumer
from headrace.roles.context import Context, Progress

SETTLE = 1.0
"""Seconds that a row waits at most before it is committed, when live."""


def run(context: Context) -> None:
    sink = ArchiveSink.of(context.declaration, context.schemas, context.profile.open_archive())
    consumer = Consumer(context.log, sink.topics, sink)
    progress = Progress(context)

    def step() -> int:
        count = consumer.step()
        sink.settle(SETTLE)
        progress.publish(sink.position(), sink.mark())
        return count

    context.loop(step)
