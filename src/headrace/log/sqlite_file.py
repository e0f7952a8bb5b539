"""A role's file of the log on SQLite: its tables, how it is opened, and what goes wrong with it in words."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from headrace.errors import LogError

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


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes; the first one makes the tables."""
    with explained(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            if version_of(connection) == 0:
                with locked(path.with_suffix(".init")):
                    connection.execute("PRAGMA page_size = 16384")
                    connection.execute("PRAGMA journal_mode = WAL")
                    if version_of(connection) == 0:
                        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 1000")
        except BaseException:  # also an interrupt; it is raised again
            connection.close()  # whatever went wrong, nobody else could close it
            raise
    return connection


def version_of(connection: sqlite3.Connection) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > _VERSION:
        raise LogError("log", f"a newer Headrace wrote it (format {version})", "upgrade the package headrace")
    return version


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that only reads a file that is there. (Threads may share it, one at a time.)"""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = 1")
    return connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LogError(
            f"log file {path}",
            str(error),
            "see that the disk has room, that the file may be written, and try again",
        ) from error
    except sqlite3.DatabaseError as error:
        raise corrupt(path, str(error)) from error


def corrupt(path: Path, cause: str) -> LogError:
    remedy = "restore the file from a backup, or move it away and let its role produce it again"
    return LogError(f"log file {path}", f"it is corrupt: {cause}", remedy)
