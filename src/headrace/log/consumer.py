"""The one loop of all sinks: poll, apply, remember.

A sink's position lives in the sink, written with its effect, and wins over anything the log remembers: a sink that
lost its last second rewinds itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from headrace.log.batches import Batch, Mark, Partition, Positions
from headrace.log.contract import Log


class Sink(Protocol):
    """Where the effect of records goes, together with how far it has come."""

    def position(self) -> Positions:
        """The offset of the next record wanted from each partition known to the sink."""
        ...

    def mark(self) -> int | None:
        """The mark of the last `apply`, None before any (and always when live)."""
        ...

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        """Takes the batches and remembers positions and mark with their effect, all or nothing.

        batches: never empty; those of one partition are in order. positions: the whole vector after them. mark: the
        newest mark that every partition has passed.
        """
        ...


class Consumer:
    """Feeds a sink from topics.

    A partition that the sink does not know is read from the first offset kept. A topic that does not exist yet is
    waited for. limit: of records read from one partition in one step (a batch is never cut, so it may be more).

    The mark is the least of the newest marks passed in the partitions, None while one of them (or a whole
    topic) has passed none. Partitions are not held back to each other's marks: records behind a mark may be applied
    before it counts as passed.
    """

    def __init__(self, log: Log, topics: Sequence[str], sink: Sink, limit: int = 50_000) -> None:
        self._log = log
        self._topics = list(topics)
        self._sink = sink
        self._limit = limit
        self._waiting = list(topics)
        self._positions: dict[Partition, int] = {}
        self._marks: dict[Partition, int | None] = {}

    def step(self) -> int:
        """Reads once and applies once; how many records (a mark counts as one). OffsetOutOfRange propagates."""
        self._join()
        batches: list[Batch] = []
        positions, marks = dict(self._positions), dict(self._marks)
        for (topic, number), offset in self._positions.items():
            for batch in self._log.read(topic, number, offset, self._limit):
                batches.append(batch)
                positions[topic, number] = batch.end
                if isinstance(batch.content, Mark):
                    marks[topic, number] = batch.content.time
        if not batches:
            return 0
        count = sum(positions.values()) - sum(self._positions.values())
        try:
            self._sink.apply(batches, positions, self._least(marks))
        except BaseException:
            self._forget()  # the sink's own position counts
            raise
        self._positions, self._marks = positions, marks
        return count

    def run(self, stop: threading.Event, idle: float = 0.005) -> None:
        """Steps until told to stop, with pauses of `idle` seconds where nothing is new."""
        while not stop.is_set():
            if self.step() == 0:
                stop.wait(idle)

    def _forget(self) -> None:
        self._waiting = list(self._topics)
        self._positions = {}
        self._marks = {}

    def _join(self) -> None:
        """Begins with the topics that exist by now: at the sink's position, else at the first offset kept."""
        if not self._waiting:
            return
        there = {topic.name for topic in self._log.topics()}.intersection(self._waiting)
        if not there:
            return
        known, mark = self._sink.position(), self._sink.mark()
        for topic in there:
            for number, (first, _) in enumerate(self._log.bounds(topic)):
                partition = topic, number
                self._positions[partition] = known.get(partition, first)
                self._marks[partition] = mark if partition in known else None
        self._waiting = [topic for topic in self._waiting if topic not in there]

    def _least(self, marks: dict[Partition, int | None]) -> int | None:
        passed = [mark for mark in marks.values() if mark is not None]
        return None if self._waiting or len(passed) < len(marks) else min(passed)
