"""The clock of a role: the wall's when live, the replayer's marks under replay.

The clock topic has two partitions of marks. A mark T in `OPENED` says that all that arrived before T is in the raw
topics; one in `CLOSED` that all requests due at T are answered.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Final, Protocol

from headrace.log.batches import Mark
from headrace.log.contract import Log

OPENED: Final = 0
CLOSED: Final = 1


class Clock(Protocol):
    """What time it is."""

    def now(self) -> int | None:
        """ms; None before the replay's first mark."""
        ...

    def mark(self) -> int | None:
        """The newest opened mark, None when live."""
        ...

    def closed(self) -> int | None:
        """The newest closed mark, None when live."""
        ...


class WallClock:
    """The processing clock: for live roles.

    >>> WallClock().mark() is None
    True
    """

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def mark(self) -> None:
        return None

    def closed(self) -> None:
        return None


class MarkClock:
    """The newest marks of a replay's clock topic. Thread-safe."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._there = False
        self._offsets = [0, 0]
        self._marks: list[int | None] = [None, None]
        self._lock = Lock()

    def now(self) -> int | None:
        return self._newest(OPENED)

    def mark(self) -> int | None:
        return self._newest(OPENED)

    def closed(self) -> int | None:
        return self._newest(CLOSED)

    def _newest(self, partition: int) -> int | None:
        with self._lock:
            self._there = self._there or any(topic.name == self._topic for topic in self._log.topics())
            while self._there and (
                batches := self._log.read(self._topic, partition, self._offsets[partition], 1_000)
            ):
                for batch in batches:
                    self._offsets[partition] = batch.end
                    if isinstance(batch.content, Mark):
                        self._marks[partition] = batch.content.time
            return self._marks[partition]
