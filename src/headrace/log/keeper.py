"""Keeps the log from growing for ever: drops what is past its retention, once every role has read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from headrace.log.contract import Log

EVERY: Final = 60_000
"""Time between two looks, ms."""


class Keeper:
    """One for a log, in a role that runs when live. (Under replay nothing expires: its time is not the wall's.)

    roles: those whose positions count. What one of them has not read stays, however old; one that never ran holds
    nothing back.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.log.sqlite import SqliteLog
    >>> keeper = Keeper(SqliteLog(Path(tempfile.mkdtemp())), ["tile", "archive"])
    >>> keeper.look(now=1_000)
    0
    """

    def __init__(self, log: Log, roles: Sequence[str]) -> None:
        self._log = log
        self._roles = list(roles)
        self._looked: int | None = None

    def look(self, now: int) -> int:
        """Drops what may go, where it is time to look again (now: ms, the wall's); how many records."""
        if self._looked is not None and now - self._looked < EVERY:
            return 0
        self._looked = now
        return self._log.expire(min([now, *self._unread()]))

    def _unread(self) -> Iterator[int]:
        """For each partition of each role the time at which the first batch that it has not read expires."""
        retentions = {topic.name: topic.retention for topic in self._log.topics()}
        for role in self._roles:
            for (topic, partition), offset in self._log.committed(role).positions.items():
                retention = retentions.get(topic)
                if retention is None or offset < self._log.bounds(topic)[partition][0]:
                    continue  # never dropped, or gone: the role itself tells that as OffsetOutOfRange
                for batch in self._log.read(topic, partition, offset, 1)[:1]:
                    if batch.newest is not None:  # else only a gap is left
                        yield batch.newest + retention
