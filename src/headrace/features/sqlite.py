"""The online store on one machine: SQLite in one file, with one writer and any number of readers.

A tile is a row of a table that is clustered by (view, key, hop, epoch), so that a window is one scan of
neighbours, and it is merged inside SQLite. Write-ahead logging gives every read one snapshot while the writer
goes on. A transaction that the machine loses takes its position with it, so that its reader of the log comes
back to it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, repeat
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import FeatureError
from headrace.features.contract import Reading, TileRange, reading
from headrace.features.listing import base, listed
from headrace.features.sqlite_ranges import merged, select
from headrace.features.versions import Versions, changes_of
from headrace.log.batches import Positions

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS views (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS epochs (number INTEGER PRIMARY KEY, view INTEGER NOT NULL, epoch NOT NULL,
    listed INTEGER NOT NULL DEFAULT 0, filled INTEGER NOT NULL DEFAULT 0, UNIQUE (view, epoch));
CREATE TABLE IF NOT EXISTS tiles (view INTEGER, key TEXT, hop INTEGER, epoch INTEGER, newest INTEGER, n INTEGER,
    a, b, a_at, b_at, a_id, b_id, PRIMARY KEY (view, key, hop, epoch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attributes (title TEXT, key TEXT, versions TEXT NOT NULL,
    PRIMARY KEY (title, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (topic TEXT, partition INTEGER, offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), mark INTEGER, epochs INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, NULL, 0);
PRAGMA user_version = 1;
"""
_TILE: Final = "INSERT OR REPLACE INTO tiles VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_VERSIONS: Final = "SELECT versions FROM attributes WHERE title = ? AND key = ?"
_FORMAT: Final = 1
_TOGETHER: Final = 100
"""Ranges that are read by one statement (SQLite allows 500)."""
_SHAPES: Final = 500
"""Statements that a thread keeps: one for each sequence of views that is read."""

_EPOCHS: Final = """SELECT views.id, views.number, epochs.number, epoch, listed, filled FROM epochs JOIN views
    ON views.number = epochs.view"""


class SqliteStore:
    """An online store in a file, made where there is none. Threads share it: each has a connection of its own.

    >>> import tempfile
    >>> store = SqliteStore(Path(tempfile.mkdtemp()) / "online.sqlite")
    >>> supplier = pa.table({"lead_days": [3], "_key": ["apple"], "_deleted": [False], "_valid": [1000],
    ...     "_arrival": [1000]})
    >>> store.apply(None, {"supplier": supplier}, {("demand.table.supplier", 0): 1}, mark=None)
    >>> store.read([], [("supplier", "apple"), ("supplier", "pear")], t=1001).rows
    [{'lead_days': 3, '_valid': 1000}, None]
    >>> store.close()
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with self._explained():
            connection = self._reader().connection
            connection.execute("PRAGMA journal_mode = WAL")
            self._check(connection)
            connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT")

    def _check(self, connection: sqlite3.Connection) -> None:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if tables and version != _FORMAT:
            cause = f"another Headrace made it (format {version}, and this one reads {_FORMAT})"
            remedy = "move the file away while no role runs: the online role fills a new one from the log"
            raise FeatureError(f"online store {self._path}", cause, remedy)

    def position(self) -> Positions:
        rows = self._reader().connection.execute("SELECT topic, partition, offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def mark(self) -> int | None:
        mark: int | None = self._reader().connection.execute("SELECT mark FROM state").fetchone()[0]
        return mark

    def apply(
        self, tiles: pa.Table | None, changes: Mapping[str, pa.Table], positions: Positions, mark: int | None
    ) -> None:
        with self._writing() as connection:
            if tiles is not None and tiles.num_rows:
                _apply_tiles(connection, tiles)
            for title, table in changes.items():
                _apply_changes(connection, title, table)
            places = [(topic, partition, offset) for (topic, partition), offset in positions.items()]
            connection.executemany("INSERT OR REPLACE INTO positions VALUES (?,?,?)", places)
            connection.execute("UPDATE state SET mark = ?", (mark,))

    def read(self, ranges: Sequence[TileRange], attributes: Sequence[tuple[str, str]], t: int) -> Reading:
        with self._explained():
            return self._reader().read(ranges, attributes, t)

    def expire(self, before: Mapping[str, int]) -> int:
        dropped = 0
        with self._writing() as connection:
            for view, hop in before.items():
                old = "DELETE FROM tiles WHERE view = (SELECT number FROM views WHERE id = ?) AND hop < ?"
                dropped += connection.execute(old, (view, hop)).rowcount
        return dropped

    def close(self) -> None:
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _reader(self) -> _Reader:
        reader: _Reader | None = getattr(self._mine, "reader", None)
        if reader is None:
            connection = sqlite3.connect(
                self._path,
                timeout=30,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=_SHAPES + 20,
            )
            connection.execute("PRAGMA synchronous = NORMAL")
            with self._lock:
                self._all.append(connection)
            reader = self._mine.reader = _Reader(connection)
        return reader

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            connection = self._reader().connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:  # also an interrupt; it is raised again
                connection.execute("ROLLBACK")  # whatever went wrong: all or nothing
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = "see that the disk has room and that one online role alone writes to the file"
            raise FeatureError(f"online store {self._path}", str(error), remedy) from error


class _Reader:
    """One thread's connection, with what it knows of the epochs as long as they do not change."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._known = -1
        self._views: dict[str, tuple[int, str]] = {}
        self._queries: dict[tuple[str, ...], str] = {}

    def read(self, ranges: Sequence[TileRange], attributes: Sequence[tuple[str, str]], t: int) -> Reading:
        execute = self.connection.execute
        execute("BEGIN")
        try:
            mark, epochs = execute("SELECT mark, epochs FROM state").fetchone()
            if epochs != self._known:
                self._learn(epochs)
            found = self._tiles(ranges)
            texts = [execute(_VERSIONS, place).fetchone() for place in attributes]
        finally:
            execute("COMMIT")
        partials = [
            None if row is None else merged(part.view, row) for part, row in zip(ranges, found, strict=True)
        ]
        times = [row[-1] for row in found if row is not None]
        return reading(partials, times, [None if text is None else text[0] for text in texts], t, mark)

    def _tiles(self, ranges: Sequence[TileRange]) -> list[Any]:
        """The merged columns of each range, None where its view has not begun."""
        begun = [place for place, part in enumerate(ranges) if part.view.id in self._views]
        # By view, so that many entities at once have few shapes: how many of each view.
        begun.sort(key=lambda place: self._views[ranges[place].view.id][0])
        found: list[Any] = [None] * len(ranges)
        for first in range(0, len(begun), _TOGETHER):
            places = begun[first : first + _TOGETHER]
            some = [ranges[place] for place in places]
            shape = tuple([part.view.id for part in some])
            query = self._queries.get(shape) or self._query(some, shape)
            rows = self.connection.execute(query, [value for part in some for value in (part.key, part.since)])
            for place, row in zip(places, rows, strict=True):
                found[place] = row
        return found

    def _query(self, ranges: Sequence[TileRange], shape: tuple[str, ...]) -> str:
        """One statement for all: each costs more to begin than to run."""
        if len(self._queries) >= _SHAPES:
            self._queries.clear()
        selects = [
            select(part.view, *self._views[part.view.id], parameter)
            for part, parameter in zip(ranges, count(1, 2), strict=False)
        ]
        self._queries[shape] = " UNION ALL ".join(f"SELECT * FROM ({text})" for text in selects)
        return self._queries[shape]

    def _learn(self, epochs: int) -> None:
        """For each view that has begun its number, and a condition where not all of its epochs are listed."""
        numbers: dict[str, int] = {}
        merges: dict[str, list[int]] = {}
        hidden: set[str] = set()
        rows = self.connection.execute(_EPOCHS).fetchall()
        shown = {(view, name) for view, _, _, name, is_listed, _ in rows if is_listed}
        for view, number, epoch, name, _, filled in rows:
            numbers[view] = number
            if not filled:
                continue
            if (view, base(name)) in shown:
                merges.setdefault(view, []).append(epoch)
            else:
                hidden.add(view)
        self._views = {
            view: (numbers[view], f" AND epoch IN ({','.join(map(str, known))})" if view in hidden else "")
            for view, known in merges.items()
        }
        self._known = epochs
        self._queries.clear()


def _apply_changes(connection: sqlite3.Connection, title: str, table: pa.Table) -> None:
    """Gives the rows of a table their new versions."""
    rows: dict[str, Versions] = {}
    for change in changes_of(table):
        if change.key not in rows:
            found = connection.execute(_VERSIONS, (title, change.key)).fetchone()
            rows[change.key] = Versions() if found is None else Versions.load(found[0])
        rows[change.key].take(change)
    texts = [(title, key, versions.dump()) for key, versions in rows.items()]
    connection.executemany("INSERT OR REPLACE INTO attributes VALUES (?,?,?)", texts)


def _apply_tiles(connection: sqlite3.Connection, tiles: pa.Table) -> None:
    """A row without a key lists its view's epoch, or strikes it off; the others replace tiles."""
    views = tiles["view"].combine_chunks().dictionary_encode()
    for code, view in enumerate(views.dictionary.to_pylist()):
        rows = tiles.filter(pc.equal(views.indices, code))
        connection.execute("INSERT OR IGNORE INTO views (id) VALUES (?)", (view,))
        number = connection.execute("SELECT number FROM views WHERE id = ?", (view,)).fetchone()[0]
        is_tile = pc.is_valid(rows["key"])
        listing, rows = rows.filter(pc.invert(is_tile)), rows.filter(is_tile)
        shown = listed(zip(listing["epoch"].to_pylist(), listing["n"].to_pylist(), strict=True))
        _note(connection, number, "listed", shown)
        epochs = _note(connection, number, "filled", dict.fromkeys(rows["epoch"].unique().to_pylist(), True))
        slots = [
            _slot(rows, "a"),
            _slot(rows, "b"),
            *(_list(rows[name]) for name in ("a_at", "b_at", "a_id", "b_id")),
        ]
        places = (
            repeat(number),
            _list(rows["key"]),
            _list(rows["hop"]),
            map(epochs.__getitem__, _list(rows["epoch"])),
        )
        connection.executemany(_TILE, zip(*places, _list(rows["newest"]), _list(rows["n"]), *slots, strict=False))


def _note(connection: sqlite3.Connection, view: int, flag: str, epochs: Mapping[Any, bool]) -> dict[Any, int]:
    """Sets the flag of a view's epochs, and counts it as a change where it stood otherwise; their numbers."""
    numbers = {}
    for epoch, up in epochs.items():
        connection.execute("INSERT OR IGNORE INTO epochs (view, epoch) VALUES (?,?)", (view, epoch))
        place = "WHERE view = ? AND epoch = ?"
        numbers[epoch] = connection.execute(f"SELECT number FROM epochs {place}", (view, epoch)).fetchone()[0]
        changed = f"UPDATE epochs SET {flag} = ? {place} AND {flag} != ?"
        count = connection.execute(changed, (up, view, epoch, up)).rowcount
        connection.execute("UPDATE state SET epochs = epochs + ?", (count,))
    return numbers


def _slot(rows: pa.Table, side: str) -> Iterable[Any]:
    """The values of the one column of a slot that a view fills."""
    for kind in ("int", "float", "text"):
        column = rows[f"{side}_{kind}"]
        if column.null_count < len(column):
            return _list(column)
    return repeat(None)


def _list(column: pa.ChunkedArray) -> Iterable[Any]:
    if len(column) and column.null_count == len(column):
        return repeat(None)
    if column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        numbers: list[Any] = column.to_numpy().tolist()
        return numbers
    values: list[Any] = column.to_pylist()
    return values
