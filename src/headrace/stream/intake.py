"""What the engine's roles read: the partitions of their topics in step, and no further than a mark."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from headrace.log.batches import Batch, Framed, Mark, Partition, Positions
from headrace.log.contract import Log

_AHEAD: Final = 4_096
"""Records read ahead from one partition."""


class Intake:
    """Batches of topics, the partition whose next batch arrived first going first.

    That keeps partitions close together in time, so that what the tiler holds open stays small. A mark stops its
    partition until all partitions stand at one: nothing that follows a mark is seen before it is passed. A topic
    that does not exist yet is waited for, and no mark is passed without it.
    """

    def __init__(self, log: Log, topics: Sequence[str], positions: Positions) -> None:
        self._log = log
        self._waiting = list(topics)
        self._known = dict(positions)
        self._queues: dict[Partition, deque[Batch]] = {}
        self._read: dict[Partition, int] = {}
        self.positions: dict[Partition, int] = {}
        """The offset of the next record to take from each partition; it follows `take` and `pass_mark`."""

    def join(self) -> list[str]:
        """Begins with the topics that exist by now; which ones are new."""
        if not self._waiting:
            return []
        there = {topic.name for topic in self._log.topics()}
        new = [topic for topic in self._waiting if topic in there]
        for topic in new:
            for number, (first, _) in enumerate(self._log.bounds(topic)):
                place = (topic, number)
                self._queues[place] = deque()
                self.positions[place] = self._read[place] = self._known.get(place, first)
        self._waiting = [topic for topic in self._waiting if topic not in there]
        return new

    def take(self, limit: int) -> list[Batch]:
        """Batches without marks, until at least `limit` records or nothing more before the marks."""
        taken: list[Batch] = []
        count = 0
        heads = {place: head for place in self._queues if (head := self._head(place)) is not None}
        while heads and count < limit:
            place = min(heads, key=lambda place: (_newest(heads[place]), place))
            batch = heads.pop(place)
            if isinstance(batch.content, Mark):
                continue
            self._queues[place].popleft()
            count += batch.end - self.positions[place]
            self.positions[place] = batch.end
            taken.append(batch)
            following = self._head(place)
            if following is not None:
                heads[place] = following
        return taken

    def standing(self) -> int | None:
        """The mark that may be passed: the least, once every partition of every topic stands at one."""
        if self._waiting or not self._queues:
            return None
        times = []
        for queue in self._queues.values():
            if not queue or not isinstance(queue[0].content, Mark):
                return None
            times.append(queue[0].content.time)
        return min(times)

    def pass_mark(self, time: int) -> int:
        """Goes on behind the marks of that time; how many."""
        passed = 0
        for place, queue in self._queues.items():
            while queue and isinstance(queue[0].content, Mark) and queue[0].content.time <= time:
                self.positions[place] = queue.popleft().end
                passed += 1
        return passed

    def behind(self) -> set[Partition]:
        """The partitions in which more is known to wait."""
        return {place for place, queue in self._queues.items() if queue}

    def _head(self, place: Partition) -> Batch | None:
        queue = self._queues[place]
        if not queue:
            batches = self._log.read(*place, self._read[place], _AHEAD)
            if batches:
                queue.extend(batches)
                self._read[place] = batches[-1].end
        return queue[0] if queue else None


def _newest(batch: Batch) -> int:
    content = batch.content
    if isinstance(content, Framed):
        arrivals = content.records.column("arrival")
        return int(arrivals[len(arrivals) - 1].as_py()) if len(arrivals) else 0
    return content.time if isinstance(content, Mark) else content.arrival
