"""The log's contract: topics, partitions, keys, arrivals, headers, positions and retention.

Each role owns the topics that it produces and the positions of the group of its own name. A transaction appends
to owned topics, remembers positions and keeps small state, all or nothing. Any number of processes read
while one writes. Every adapter passes tests/contracts/test_log.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from headrace.log.batches import Batch, Content, Positions


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, the role that produces it, its partitions, and how long records are kept (ms; None: for ever)."""

    name: str
    owner: str
    partitions: int
    retention: int | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """How far a group has come: positions, and under replay the mark that it has passed in every partition."""

    positions: Positions
    mark: int | None


class Transaction(Protocol):
    """Effects that become visible together."""

    def append(self, topic: str, partition: int, content: Content) -> None:
        """Appends, in the order of calls. Refused for a topic of another owner."""
        ...

    def commit(self, positions: Positions, mark: int | None = None) -> None:
        """Remembers, for the writer's group, the positions given (others stay) and the mark."""
        ...

    def keep(self, name: str, value: bytes | None) -> None:
        """Keeps a small value under a name; None forgets it."""
        ...


class Writer(Protocol):
    """A role's right to write. One at a time: a second one is refused, naming the process that holds it."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """All or nothing: an exception inside undoes everything. Every reader sees it when the block has ended."""
        ...

    def kept(self, name: str) -> bytes | None:
        """What a committed transaction kept under a name."""
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """Readers' side of the log, and the way to a writer."""

    def create(self, topic: Topic) -> None:
        """Creates a topic; twice is once. Refused when it exists with another owner or partition count."""
        ...

    def topics(self) -> list[Topic]: ...

    def topic(self, name: str) -> Topic:
        """LogError where there is none."""
        ...

    def writer(self, role: str) -> Writer:
        """WriterTaken where another process is the role's writer."""
        ...

    def turn(self, role: str, patience: float = 30.0) -> AbstractContextManager[Writer]:
        """A writer of a role that several processes share, for a short while; it is not closed by the caller.

        Where the log has one writer at a time, it is waited for: WriterTaken where others hold it longer than
        `patience` seconds.
        """
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Batch]:
        """Batches from the one that holds `offset` on, until at least `limit` records or the end.

        The first batch may begin before `offset` (the reader skips) or behind it (nothing stands between). Offsets
        increase; within a batch they are dense, behind one there may be a gap, which `Batch.end` covers; where
        only a gap is left, it is a batch of no records. So `batches[-1].end` is always where to read on, and
        it comes to the end of `bounds`. All that was committed when it is called is seen, and nothing of an open
        transaction. It never waits for what is not there. OffsetOutOfRange below retention.
        """
        ...

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        """For each partition the first offset kept and the offset after the last that is committed."""
        ...

    def committed(self, group: str) -> Commit:
        """Empty positions and no mark for a group that never committed."""
        ...

    def expire(self, now: int) -> int:
        """Drops batches whose newest arrival is older than their topic's retention; how many offsets."""
        ...

    def close(self) -> None: ...
