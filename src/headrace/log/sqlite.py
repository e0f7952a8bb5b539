"""The log on one machine: one SQLite file for each producing role, so that no writer waits for another.

A batch is one row, and everything that a transaction does (batches, positions, what is kept) is one SQLite
transaction with full synchronisation, so a kill at any instant leaves whole transactions only. Any number of
processes read while one writes (SQLite's write-ahead log).
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Final

from headrace.errors import LogError, OffsetOutOfRange, WriterTaken
from headrace.log.batches import Batch
from headrace.log.contract import Commit, Topic, Writer
from headrace.log.sqlite_contents import content_of
from headrace.log.sqlite_file import explained, locked, open_to_read, open_to_write, snapshot, version_of
from headrace.log.sqlite_retention import expire
from headrace.log.sqlite_writer import SqliteWriter

_TURN: Final = 0.002
"""Seconds between two looks whether a role's writer is free."""


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a topic lives: its file and its number there."""

    topic: Topic
    path: Path
    number: int


class SqliteLog:
    """A log in a folder; every process opens its own, which its threads share.

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
        with locked(self._folder / "create.lock"):
            known = self._find(topic.name)
            if known is not None:
                if (known.topic.owner, known.topic.partitions) == (topic.owner, topic.partitions):
                    self._keep(known, topic.retention)
                    return
                raise LogError(
                    f"topic {topic.name}",
                    f"it exists with owner {known.topic.owner!r} and {known.topic.partitions} partitions, "
                    f"and was asked for with owner {topic.owner!r} and {topic.partitions}",
                    "use another name, or keep its owner and its number of partitions",
                )
            connection = open_to_write(path)
            try:
                with explained(path), connection:
                    connection.execute("BEGIN IMMEDIATE")
                    row = (topic.name, topic.partitions, topic.retention)
                    added = connection.execute(
                        "INSERT INTO topics (name, partitions, retention) VALUES (?,?,?)", row
                    )
                    places = [(added.lastrowid, partition) for partition in range(topic.partitions)]
                    connection.executemany("INSERT INTO bounds VALUES (?,?,0,0)", places)
            finally:
                connection.close()

    def _keep(self, known: _Home, retention: int | None) -> None:
        """Gives a topic the retention that was asked for last: windows grow from one declaration to the next."""
        if retention == known.topic.retention:
            return
        with explained(known.path), closing(open_to_write(known.path)) as connection:
            connection.execute("UPDATE topics SET retention = ? WHERE id = ?", (retention, known.number))
        with self._lock:
            self._discover()

    def topics(self) -> list[Topic]:
        return [home.topic for home in self._all()]

    def topic(self, name: str) -> Topic:
        return self._home(name).topic

    def writer(self, role: str) -> SqliteWriter:
        return SqliteWriter(self.topic, role, self._path(role))

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
        query = (
            "SELECT next, count, kind, schema_id, latest, payload FROM batches "
            "WHERE topic = ? AND partition = ? AND next > ? ORDER BY next"
        )
        with self._lock, explained(home.path):
            place = (home.number, partition, offset)
            with closing(self._reader(home.path).execute(query, place)) as rows:
                for following, size, kind, schema_id, latest, payload in rows:
                    content = content_of(kind, size, schema_id, latest, payload, home.path)
                    batches.append(Batch(topic, partition, following - size, content))
                    if following - offset >= limit:
                        break
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
        with self._lock, explained(home.path):
            query = "SELECT first, next FROM bounds WHERE topic = ? ORDER BY partition"
            return [
                (first, following) for first, following in self._reader(home.path).execute(query, (home.number,))
            ]

    def committed(self, group: str) -> Commit:
        path = self._path(group)
        if not path.exists():
            return Commit({}, None)
        with self._lock, explained(path):
            reader = self._reader(path)
            if version_of(reader) == 0:
                return Commit({}, None)
            with snapshot(reader):
                rows = reader.execute("SELECT topic, partition, offset FROM positions").fetchall()
                mark = reader.execute("SELECT time FROM mark").fetchone()
        positions = {(topic, partition): offset for topic, partition, offset in rows}
        return Commit(positions, None if mark is None else mark[0])

    def expire(self, now: int) -> int:
        return sum(
            expire(home.path, home.number, home.topic.partitions, now - home.topic.retention)
            for home in self._all()
            if home.topic.retention is not None
        )

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
        if path not in self._readers:
            self._readers[path] = open_to_read(path)
        return self._readers[path]

    def _home(self, topic: str) -> _Home:
        home = self._find(topic)
        if home is None:
            known = ", ".join(known.topic.name for known in self._all()) or "none"
            raise LogError(f"topic {topic}", f"it is not in {self._folder} (there: {known})", "create it first")
        return home

    def _find(self, topic: str) -> _Home | None:
        """Where a topic lives. (Topics are never deleted, so what is known stays true.)"""
        with self._lock:
            if topic not in self._homes:
                self._discover()
            return self._homes.get(topic)

    def _all(self) -> list[_Home]:
        """Where each topic lives, by name."""
        with self._lock:
            self._discover()
            return sorted(self._homes.values(), key=lambda home: home.topic.name)

    def _discover(self) -> None:
        """Learns the topics of all files."""
        for path in sorted(self._folder.glob("*.sqlite")):
            with explained(path):
                reader = self._reader(path)
                if version_of(reader) == 0:
                    continue
                rows = reader.execute("SELECT id, name, partitions, retention FROM topics").fetchall()
            for number, name, partitions, retention in rows:
                self._homes[name] = _Home(Topic(name, path.stem, partitions, retention), path, number)
