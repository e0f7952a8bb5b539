"""The archive role: enriched records, table changes and predictions to Delta tables.

It keeps for ever what the log does not; so, when live, it also drops from the log what has expired (docs/adr/0008).
"""

from __future__ import annotations

from typing import Final

from headrace.archive.sink import ArchiveSink
from headrace.log.consumer import Consumer
from headrace.log.keeper import Keeper
from headrace.roles.context import Context
from headrace.roles.progress import Progress
from headrace.roles.supervisor import ROLES

SETTLE: Final = 1.0
"""Seconds that a row waits at most before it is committed, when live; under replay it waits for a rest only."""


def catch_up(context: Context) -> None:
    """Archives what the log holds by now. WriterTaken where the archive role runs, which does it by itself."""
    sink = _sink(context)
    progress = Progress(context)
    consumer = Consumer(context.log, sink.topics, sink)
    while consumer.step():
        pass
    sink.flush()
    progress.publish(sink.position(), sink.mark())
    progress.close()


def run(context: Context) -> None:
    sink = _sink(context)
    consumer = Consumer(context.log, sink.topics, sink)
    progress = Progress(context)
    live = context.profile.clock == "wall"
    keeper = Keeper(context.log, ROLES)

    def step() -> int:
        count = consumer.step()
        if live or not count:
            sink.settle(SETTLE if live else 0.0)
        progress.publish(sink.position(), sink.mark())
        if live:
            keeper.look(context.clock.now() or 0)
        return count

    context.loop(step)


def _sink(context: Context) -> ArchiveSink:
    archive = context.profile.open_archive(context.declaration)
    return ArchiveSink.of(context.declaration, context.schemas, archive)
