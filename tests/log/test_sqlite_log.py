"""What is particular to the log on SQLite."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.errors import LogError
from headrace.log.batches import Batch, Block, Framed, Mark, Record
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog


def test_a_corrupt_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "r.sqlite").write_bytes(b"no database" * 100)
    log = SqliteLog(tmp_path)
    with pytest.raises(LogError, match=r"r\.sqlite: it is corrupt.*restore"):
        log.topics()
    with pytest.raises(LogError, match="corrupt"):
        log.writer("r")
    log.close()


def test_corrupt_frames_are_named(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("t", "r", 1))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append("t", 0, Framed.of([Record(b"k", b"v")], 0))
    writer.close()
    with sqlite3.connect(tmp_path / "r.sqlite") as connection:
        connection.execute("UPDATE batches SET payload = x'00010203'")
    connection.close()
    with pytest.raises(LogError, match=r"r\.sqlite: it is corrupt"):
        log.read("t", 0, 0, 1)
    log.close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "r.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    log = SqliteLog(tmp_path)
    with pytest.raises(LogError, match="newer"):
        log.topics()
    log.close()


def test_a_file_without_tables_yet_holds_no_topic(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "r.sqlite").close()
    log = SqliteLog(tmp_path)
    assert log.topics() == []
    assert log.committed("r").positions == {}
    log.close()


def test_a_role_that_is_no_file_name(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    for name in ("../r", "", "a/b"):
        with pytest.raises(LogError, match="role"):
            log.writer(name)
    log.close()


def test_frames_of_another_schema_are_refused(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("t", "r", 1))
    writer = log.writer("r")
    wrong = Framed(pa.RecordBatch.from_pydict({"value": [b"a"]}))
    with pytest.raises(LogError, match="FRAMES"), writer.transaction() as transaction:
        transaction.append("t", 0, wrong)
    writer.close()
    log.close()


def test_batches_come_back_whole_and_without_gaps(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("t", "r", 1))
    frames = Framed.of([Record(b"k", b"a", {"h": b"1"}), Record(b"k", None)], 5)
    contents = [frames, Block(3, 4, b"body", 5), Mark(17), Block(3, 3, b"body", 5)]
    writer = log.writer("r")
    for content in contents:
        with writer.transaction() as transaction:
            transaction.append("t", 0, content)
    writer.close()
    offsets = (0, 2, 6, 7)
    assert log.read("t", 0, 0, 100) == [Batch("t", 0, *pair) for pair in zip(offsets, contents, strict=True)]
    assert [batch.offset for batch in log.read("t", 0, 4, 100)] == [2, 6, 7]
    assert [batch.offset for batch in log.read("t", 0, 1, 3)] == [0, 2]
    assert log.bounds("t") == [(0, 10)]
    log.close()


def test_one_file_a_role(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("a", "one", 1))
    log.create(Topic("b", "two", 1))
    assert {path.name for path in tmp_path.glob("*.sqlite")} == {"one.sqlite", "two.sqlite"}
    log.close()


def test_many_create_the_same_topics_at_once(tmp_path: Path) -> None:
    def create(number: int) -> None:
        log = SqliteLog(tmp_path)
        log.create(Topic("t", "r", 2))
        log.create(Topic(f"t{number % 3}", f"r{number % 3}", 1))
        log.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(16)))
    log = SqliteLog(tmp_path)
    assert [topic.name for topic in log.topics()] == ["t", "t0", "t1", "t2"]
    log.close()


def test_a_topic_created_while_its_owner_writes(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("a", "r", 1))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append("a", 0, Block(1, 1, b"x", 0))
    log.create(Topic("b", "r", 1))
    with writer.transaction() as transaction:
        transaction.append("b", 0, Block(1, 1, b"x", 0))
        transaction.append("a", 0, Block(1, 1, b"x", 0))
    writer.close()
    assert [batch.offset for batch in log.read("b", 0, 0, 9)] == [0]
    assert [batch.offset for batch in log.read("a", 0, 0, 9)] == [0, 1]
    log.close()


def test_threads_share_a_log(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("t", "r", 1))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append("t", 0, Block(1, 4, b"body", 0))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: log.read("t", 0, 0, 9)[0].end, range(100)))
    assert found == [4] * 100
    writer.close()
    log.close()
