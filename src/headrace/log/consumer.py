"""The one loop of all sinks: poll, apply, remember.

A sink's position lives in the sink, written with its effect, and wins over anything the log remembers: a sink that
lost its last second rewinds itself.
"""

from __future__ import annotations

from collections import deque
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
        newest mark that every partition has passed; all that was applied stands before the next one.
        """
        ...


class Consumer:
    """Feeds a sink from topics.

    A partition that the sink does not know is read from the first offset kept. A topic that does not exist yet is
    waited for. limit: of records read from one partition in one step (a batch is never cut, so it may be more).

    Marks are barriers. A partition waits in front of its next mark until every partition of every topic stands in
    front of one; then the least of them is passed everywhere in one `apply`. So the sink's mark and positions
    always belong together, also after a restart. Topics named in `unmarked` carry no marks: they are not held, and
    no mark is passed before what they hold by then is applied.
    """

    def __init__(
        self, log: Log, topics: Sequence[str], sink: Sink, limit: int = 50_000, unmarked: Sequence[str] = ()
    ) -> None:
        self._log = log
        self._topics = list(dict.fromkeys([*topics, *unmarked]))
        self._unmarked = frozenset(unmarked)
        self._sink = sink
        self._limit = limit
        self._mark: int | None = None
        self._forget()

    def step(self) -> int:
        """Reads once and applies once; how many records (a mark counts as one). OffsetOutOfRange propagates."""
        self._join()
        batches = [batch for partition in self._ahead for batch in self._take(partition)]
        drained = not any(batch.topic in self._unmarked for batch in batches)
        mark = self._standing() if drained else None
        if mark is not None:
            batches += self._pass(mark)
            self._mark = mark
        if not batches:
            return 0
        count = 0
        for batch in batches:
            count += batch.end - self._positions[batch.topic, batch.partition]
            self._positions[batch.topic, batch.partition] = batch.end
        try:
            self._sink.apply(batches, dict(self._positions), self._mark)
        except BaseException:  # also an interrupt; it is raised again
            self._forget()  # the sink's own position counts
            raise
        return count

    def _forget(self) -> None:
        self._waiting = list(self._topics)
        self._positions: dict[Partition, int] = {}
        self._ahead: dict[Partition, deque[Batch]] = {}
        self._mark = None

    def _join(self) -> None:
        """Begins with the topics that exist by now: at the sink's position, else at the first offset kept."""
        if not self._waiting:
            return
        there = {topic.name for topic in self._log.topics()}
        new = [topic for topic in self._waiting if topic in there]
        if not new:
            return
        known, self._mark = self._sink.position(), self._sink.mark()
        for topic in new:
            for number, (first, _) in enumerate(self._log.bounds(topic)):
                self._positions[topic, number] = known.get((topic, number), first)
                self._ahead[topic, number] = deque()
        self._waiting = [topic for topic in self._waiting if topic not in there]

    def _take(self, partition: Partition) -> list[Batch]:
        """The batches up to the next mark or the limit."""
        ahead = self._ahead[partition]
        if not ahead:
            ahead.extend(self._log.read(*partition, self._positions[partition], self._limit))
        taken = []
        while ahead and not isinstance(ahead[0].content, Mark):
            taken.append(ahead.popleft())
        return taken

    def _standing(self) -> int | None:
        """The least mark that partitions stand in front of, once all of them do."""
        if any(topic not in self._unmarked for topic in self._waiting):
            return None
        times = []
        for (topic, _), ahead in self._ahead.items():
            if topic in self._unmarked:
                continue
            head = ahead[0].content if ahead else None
            if not isinstance(head, Mark):
                return None
            times.append(head.time)
        return min(times, default=None)

    def _pass(self, mark: int) -> list[Batch]:
        passed = []
        for ahead in self._ahead.values():
            while ahead and isinstance(ahead[0].content, Mark) and ahead[0].content.time <= mark:
                passed.append(ahead.popleft())
        return passed
