"""The log on one machine: one SQLite file for each producing role, so that no writer waits for another.

A batch is one row, and everything that a transaction does (batches, positions, what is kept) is one SQLite
transaction with full synchronisation, so a kill at any instant leaves whole transactions only. A role's right to
write is a lock on a file beside its database, which the operating system releases when the process dies. Any number
of processes read while one writes (SQLite's write-ahead log).
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import LogError, OffsetOutOfRange, WriterTaken
from headrace.log.batches import FRAMES, Batch, Block, Content, Framed, Mark, Partition, Positions
from headrace.log.contract import Commit, Topic, Writer

_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    retention INTEGER);
CREATE TABLE bounds (topic INTEGER, partition INTEGER, first INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE batches (topic INTEGER, partition INTEGER, next INTEGER, count INTEGER NOT NULL, kind INTEGER NOT NULL,
    schema_id INTEGER, earliest INTEGER, latest INTEGER, payload BLOB);
CREATE UNIQUE INDEX place ON batches (topic, partition, next);
CREATE TABLE positions (topic TEXT, partition INTEGER, offset INTEGER NOT NULL, PRIMARY KEY (topic, partition))
    WITHOUT ROWID;
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), time INTEGER);
CREATE TABLE kept (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_FRAMED, _BLOCK, _MARK = 0, 1, 2
_FETCH: Final = 16
_TURN: Final = 0.002
"""Seconds between two looks whether a role's writer is free."""


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a topic lives: its file and its number there."""

    topic: Topic
    path: Path
    number: int


class SqliteLog:
    """A log in a folder; every process opens its own.

    >>> import tempfile
    >>> from headrace.log.batches import Framed, Record
    >>> log = SqliteLog(Path(tempfile.mkdtemp()))
    >>> log.create(Topic("sales", owner="shop", partitions=1))
    >>> writer = log.writer("shop")
    >>> with writer.transaction() as transaction:
    ...     transaction.append("sales", 0, Framed.of([Record(b"a", b"1"), Record(b"b", b"2")], now=0))
    >>> log.bounds("sales"), [batch.count for batch in log.read("sales", 0, offset=0, limit=100)]
    ([(0, 2)], [2])
    >>> writer.close(); log.close()
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._readers: dict[Path, sqlite3.Connection] = {}
        self._homes: dict[str, _Home] = {}
        self._lock = RLock()

    def create(self, topic: Topic) -> None:
        if topic.partitions < 1:
            raise LogError(f"topic {topic.name}", "it has no partition", "give it at least one")
        path = self._path(topic.owner)
        with _locked(self._folder / "create.lock"):
            known = self._find(topic.name)
            if known is not None:
                if (known.topic.owner, known.topic.partitions) == (topic.owner, topic.partitions):
                    return
                raise LogError(
                    f"topic {topic.name}",
                    f"it exists with owner {known.topic.owner!r} and {known.topic.partitions} partitions, "
                    f"and was asked for with owner {topic.owner!r} and {topic.partitions}",
                    "use another name, or keep its owner and its number of partitions",
                )
            connection = _open(path)
            try:
                with _explained(path), connection:
                    connection.execute("BEGIN IMMEDIATE")
                    row = (topic.name, topic.partitions, topic.retention)
                    added = connection.execute(
                        "INSERT INTO topics (name, partitions, retention) VALUES (?,?,?)", row
                    )
                    places = [(added.lastrowid, partition) for partition in range(topic.partitions)]
                    connection.executemany("INSERT INTO bounds VALUES (?,?,0,0)", places)
            finally:
                connection.close()

    def topics(self) -> list[Topic]:
        self._discover()
        return sorted((home.topic for home in self._homes.values()), key=lambda topic: topic.name)

    def topic(self, name: str) -> Topic:
        return self._home(name).topic

    def writer(self, role: str) -> SqliteWriter:
        path = self._path(role)
        return SqliteWriter(self, role, path)

    @contextmanager
    def turn(self, role: str, patience: float = 30.0) -> Iterator[Writer]:
        until = time.monotonic() + patience
        while True:
            try:
                writer = self.writer(role)
                break
            except WriterTaken:
                if time.monotonic() > until:
                    raise
                time.sleep(_TURN)
        try:
            yield writer
        finally:
            writer.close()

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Batch]:
        home = self._home(topic)
        batches: list[Batch] = []
        count = 0
        with self._lock, _explained(home.path):
            rows = self._reader(home.path).execute(
                "SELECT next, count, kind, schema_id, latest, payload FROM batches "
                "WHERE topic = ? AND partition = ? AND next > ? ORDER BY next",
                (home.number, partition, offset),
            )
            for following, size, kind, schema_id, latest, payload in rows:
                content = _content(kind, size, schema_id, latest, payload, home.path)
                batches.append(Batch(topic, partition, following - size, content))
                count = following - offset
                if count >= limit:
                    break
            rows.close()
        if not batches or batches[0].offset > offset:
            self._check(topic, partition, offset)
        return batches

    def _check(self, topic: str, partition: int, offset: int) -> None:
        bounds = self.bounds(topic)
        if not 0 <= partition < len(bounds):
            raise LogError(
                f"topic {topic}", f"it has no partition {partition}", f"read one of 0 to {len(bounds) - 1}"
            )
        first, _ = bounds[partition]
        if offset < first:
            raise OffsetOutOfRange(
                f"topic {topic}, partition {partition}",
                f"offset {offset} was asked for and the first that is kept is {first}",
                "start again from a backfill or a new epoch, and give the topic a longer retention",
            )

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        home = self._home(topic)
        with self._lock, _explained(home.path):
            query = "SELECT first, next FROM bounds WHERE topic = ? ORDER BY partition"
            return [
                (first, following) for first, following in self._reader(home.path).execute(query, (home.number,))
            ]

    def committed(self, group: str) -> Commit:
        path = self._path(group)
        if not path.exists():
            return Commit({}, None)
        with self._lock, _explained(path):
            reader = self._reader(path)
            if _version(reader) == 0:
                return Commit({}, None)
            with _snapshot(reader):
                rows = reader.execute("SELECT topic, partition, offset FROM positions").fetchall()
                mark = reader.execute("SELECT time FROM mark").fetchone()
        positions = {(topic, partition): offset for topic, partition, offset in rows}
        return Commit(positions, None if mark is None else mark[0])

    def expire(self, now: int) -> int:
        self._discover()
        dropped = 0
        for home in self._homes.values():
            if home.topic.retention is not None:
                dropped += self._expire(home, now - home.topic.retention)
        return dropped

    def _expire(self, home: _Home, oldest: int) -> int:
        """Drops the batches of each partition up to the first whose newest arrival is `oldest` or later."""
        dropped = 0
        connection = _open(home.path)
        try:
            for partition in range(home.topic.partitions):
                place = (home.number, partition)
                with _explained(home.path), connection:
                    connection.execute("BEGIN IMMEDIATE")
                    where = "WHERE topic = ? AND partition = ?"
                    first, following = connection.execute(
                        f"SELECT first, next FROM bounds {where}", place
                    ).fetchone()
                    kept = connection.execute(
                        f"SELECT next - count FROM batches {where} AND latest >= ? ORDER BY next LIMIT 1",
                        (*place, oldest),
                    ).fetchone()
                    begin = following if kept is None else kept[0]
                    if begin > first:
                        connection.execute(f"DELETE FROM batches {where} AND next <= ?", (*place, begin))
                        connection.execute(f"UPDATE bounds SET first = ? {where}", (begin, *place))
                        dropped += begin - first
        finally:
            connection.close()
        return dropped

    def close(self) -> None:
        with self._lock:
            for connection in self._readers.values():
                connection.close()
            self._readers.clear()

    def _path(self, role: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", role):
            raise LogError(
                f"role {role!r}", "its name cannot be a file name", "use letters, digits, '_', '-' and '.' only"
            )
        return self._folder / f"{role}.sqlite"

    def _reader(self, path: Path) -> sqlite3.Connection:
        connection = self._readers.get(path)
        if connection is None:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30,
                                         isolation_level=None, check_same_thread=False)  # fmt: skip
            connection.execute("PRAGMA query_only = 1")
            self._readers[path] = connection
        return connection

    def _home(self, topic: str) -> _Home:
        home = self._homes.get(topic) or self._find(topic)
        if home is None:
            known = ", ".join(sorted(self._homes)) or "none"
            raise LogError(f"topic {topic}", f"it is not in {self._folder} (there: {known})", "create it first")
        return home

    def _find(self, topic: str) -> _Home | None:
        if topic not in self._homes:
            self._discover()
        return self._homes.get(topic)

    def _discover(self) -> None:
        """Learns the topics of all files. (Topics are never deleted, so what is known stays true.)"""
        with self._lock:
            for path in sorted(self._folder.glob("*.sqlite")):
                with _explained(path):
                    reader = self._reader(path)
                    if _version(reader) == 0:
                        continue
                    rows = reader.execute("SELECT id, name, partitions, retention FROM topics").fetchall()
                for number, name, partitions, retention in rows:
                    self._homes[name] = _Home(Topic(name, path.stem, partitions, retention), path, number)


class SqliteWriter:
    """A role's right to write, held until it is closed or the process dies."""

    def __init__(self, log: SqliteLog, role: str, path: Path) -> None:
        self._log = log
        self._role = role
        self._path = path
        self._owner = _own(path.with_suffix(".lock"), role)
        self._connection = _open(path)
        self._next: dict[Partition, int] = {}
        self._numbers: dict[str, int] = {}
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        transaction = SqliteTransaction(self)
        yield transaction
        with _explained(self._path), self._connection as connection:
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
        with _explained(self._path):
            row = self._connection.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.close()
            os.close(self._owner)

    def _end(self, topic: str, partition: int) -> tuple[int, int]:
        """The topic's number in this file, and the offset of the partition's next record."""
        if topic not in self._numbers:
            known = self._log.topic(topic)
            if known.owner != self._role:
                raise LogError(
                    f"topic {topic}", f"it is {known.owner!r} that writes it, not {self._role!r}",
                    f"append from the role {known.owner!r}",
                )  # fmt: skip
            with _explained(self._path):
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
            self.rows.append((number, partition, offset + content.count, content.count, *_columns(topic, content)))

    def commit(self, positions: Positions, mark: int | None = None) -> None:
        self.positions.update(positions)
        self.mark = self.mark if mark is None else mark

    def keep(self, name: str, value: bytes | None) -> None:
        self.kept[name] = value


def _columns(topic: str, content: Content) -> tuple[object, ...]:
    """kind, schema id, earliest and latest arrival, payload."""
    match content:
        case Framed(records):
            if not records.schema.equals(FRAMES):
                raise LogError(
                    f"topic {topic}", f"the frames have the schema {records.schema}", "build them as batches.FRAMES"
                )
            bounds = pc.min_max(records.column("arrival"))
            return _FRAMED, None, bounds["min"].as_py(), bounds["max"].as_py(), memoryview(records.serialize())
        case Block(schema_id, _, body, arrival):
            return _BLOCK, schema_id, arrival, arrival, body
        case Mark(time):
            return _MARK, None, time, time, None


def _content(kind: int, count: int, schema_id: int, latest: int, payload: bytes, path: Path) -> Content:
    if kind == _BLOCK:
        return Block(schema_id, count, payload, latest)
    if kind == _MARK:
        return Mark(latest)
    try:
        return Framed(pa.ipc.read_record_batch(pa.py_buffer(payload), FRAMES))
    except (pa.ArrowInvalid, OSError) as error:
        raise _corrupt(path, str(error)) from error


def _open(path: Path) -> sqlite3.Connection:
    """A connection that writes; the first one makes the tables."""
    with _explained(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            if _version(connection) == 0:
                with _locked(path.with_suffix(".init")):
                    connection.execute("PRAGMA page_size = 16384")
                    connection.execute("PRAGMA journal_mode = WAL")
                    if _version(connection) == 0:
                        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 1000")
        except BaseException:
            connection.close()  # whatever went wrong, nobody else could close it
            raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > _VERSION:
        raise LogError("log", f"a newer Headrace wrote it (format {version})", "upgrade the package headrace")
    return version


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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LogError(
            f"log file {path}",
            str(error),
            "see that the disk has room, that the file may be written, and try again",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, cause: str) -> LogError:
    remedy = "restore the file from a backup, or move it away and let its role produce it again"
    return LogError(f"log file {path}", f"it is corrupt: {cause}", remedy)
