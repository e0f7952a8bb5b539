"""Retention in a file of the log on SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from headrace.log.sqlite_file import explained, open_to_write

_TOGETHER: Final = 200
"""Batches dropped in one transaction: the owner of the file waits no longer than that takes."""


def expire(path: Path, topic: int, partitions: int, oldest: int) -> int:
    """Drops the batches of each partition up to the first whose newest arrival is `oldest` (ms) or later.

    topic: its number in the file. How many records were dropped. What they took is reused by what is appended.
    """
    dropped = 0
    with explained(path), closing(open_to_write(path)) as connection:
        for partition in range(partitions):
            while found := _drop(connection, topic, partition, oldest):
                dropped += found
    return dropped


def _drop(connection: sqlite3.Connection, topic: int, partition: int, oldest: int) -> int:
    """Drops some batches in one transaction; how many records."""
    place, where = (topic, partition), "WHERE topic = ? AND partition = ?"
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (first,) = connection.execute(f"SELECT first FROM bounds {where}", place).fetchone()
        begin = first
        old = f"SELECT next, latest FROM batches {where} ORDER BY next LIMIT {_TOGETHER}"
        for following, latest in connection.execute(old, place).fetchall():
            if latest >= oldest:
                break
            begin = following
        if begin > first:
            connection.execute(f"DELETE FROM batches {where} AND next <= ?", (*place, begin))
            connection.execute(f"UPDATE bounds SET first = ? {where}", (begin, *place))
    return int(begin - first)
