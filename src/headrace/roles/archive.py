"""The archive role: enriched records, table changes and predictions to Delta tables."""

from __future__ import annotations

from typing import Final

from headrace.archive.sink import ArchiveSink
from headrace.log.consumer import Consumer
from headrace.roles.context import Context, Progress

SETTLE: Final = 1.0
"""Seconds that a row waits at most before it is committed, when live; under replay it waits for a rest only."""


def run(context: Context) -> None:
    declaration = context.declaration
    sink = ArchiveSink.of(declaration, context.schemas, context.profile.open_archive(declaration))
    consumer = Consumer(context.log, sink.topics, sink)
    progress = Progress(context)
    live = context.profile.clock == "wall"

    def step() -> int:
        count = consumer.step()
        if live or not count:
            sink.settle(SETTLE if live else 0.0)
        progress.publish(sink.position(), sink.mark())
        return count

    context.loop(step)
