"""A role's right to write its file: a lock beside it, which the operating system releases when the process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.errors import LogError, WriterTaken
from headrace.log.batches import Content, Partition, Positions
from headrace.log.contract import Topic
from headrace.log.sqlite_contents import columns_of
from headrace.log.sqlite_file import explained, open_to_write


class SqliteWriter:
    """Held until it is closed or the process dies. topic: finds a topic by its name.

    WriterTaken where another process holds it.
    """

    def __init__(self, topic: Callable[[str], Topic], role: str, path: Path) -> None:
        self._topic = topic
        self._role = role
        self._path = path
        self._lock: int | None = _own(path.with_suffix(".lock"), role)
        try:
            self._connection = open_to_write(path)
        except BaseException:  # also an interrupt; it is raised again
            self._release()  # whatever went wrong, nobody else could
            raise
        self._next: dict[Partition, int] = {}
        self._numbers: dict[str, int] = {}

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        transaction = SqliteTransaction(self)
        yield transaction
        with explained(self._path), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO batches VALUES (?,?,?,?,?,?,?,?,?)", transaction.rows)
            connection.executemany(
                "UPDATE bounds SET next = ? WHERE topic = ? AND partition = ?",
                [
                    (following, self._numbers[topic], number)
                    for (topic, number), following in transaction.next.items()
                ],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?,?,?)",
                [(*partition, offset) for partition, offset in transaction.positions.items()],
            )
            if transaction.mark is not None:
                connection.execute("INSERT OR REPLACE INTO mark VALUES (1, ?)", (transaction.mark,))
            for name, value in transaction.kept.items():
                if value is None:
                    connection.execute("DELETE FROM kept WHERE name = ?", (name,))
                else:
                    connection.execute("INSERT OR REPLACE INTO kept VALUES (?,?)", (name, value))
        self._next.update(transaction.next)

    def kept(self, name: str) -> bytes | None:
        with explained(self._path):
            row = self._connection.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Gives the right back; twice is once."""
        self._connection.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _end(self, topic: str, partition: int) -> tuple[int, int]:
        """The topic's number in this file, and the offset of the partition's next record."""
        if topic not in self._numbers:
            known = self._topic(topic)
            if known.owner != self._role:
                raise LogError(
                    f"topic {topic}", f"it is {known.owner!r} that writes it, not {self._role!r}",
                    f"append from the role {known.owner!r}",
                )  # fmt: skip
            with explained(self._path):
                rows = self._connection.execute(
                    "SELECT id, partition, next FROM topics JOIN bounds ON topic = id WHERE name = ?", (topic,)
                ).fetchall()
            self._numbers[topic] = rows[0][0]
            self._next.update({(topic, place): following for _, place, following in rows})
        if (topic, partition) not in self._next:
            raise LogError(f"topic {topic}", f"it has no partition {partition}", "append to one that it has")
        return self._numbers[topic], self._next[topic, partition]


class SqliteTransaction:
    """What will be written when the `with` block ends; nothing is written before."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer
        self.rows: list[tuple[object, ...]] = []
        self.next: dict[Partition, int] = {}
        self.positions: dict[Partition, int] = {}
        self.mark: int | None = None
        self.kept: dict[str, bytes | None] = {}

    def append(self, topic: str, partition: int, content: Content) -> None:
        number, end = self._writer._end(topic, partition)
        offset = self.next.get((topic, partition), end)
        if content.count:
            self.next[topic, partition] = offset + content.count
            self.rows.append(
                (number, partition, offset + content.count, content.count, *columns_of(topic, content))
            )

    def commit(self, positions: Positions, mark: int | None = None) -> None:
        self.positions.update(positions)
        self.mark = self.mark if mark is None else mark

    def keep(self, name: str, value: bytes | None) -> None:
        self.kept[name] = value


def _own(path: Path, role: str) -> int:
    """Takes the lock that only one process may hold; a descriptor that holds it until it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode() or "unknown"
        os.close(descriptor)
        raise WriterTaken(
            f"role {role}", f"the process {holder} is its writer already", f"stop the process {holder} first"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
