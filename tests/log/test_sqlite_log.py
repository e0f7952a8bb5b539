"""What is particular to the log on SQLite."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.errors import LogError, WriterTaken
from headrace.log.batches import Batch, Block, Framed, Mark, Record
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


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


@pytest.mark.usefixtures("impatient")
def test_threads_learn_of_topics_while_others_list_them(tmp_path: Path) -> None:
    log, other = SqliteLog(tmp_path), SqliteLog(tmp_path)
    other.create(Topic("first", "r", 1))

    def create() -> None:
        for number in range(150):
            other.create(Topic(f"t{number}", f"r{number % 3}", 1))

    with ThreadPoolExecutor(4) as pool:
        creating = pool.submit(create)

        def look() -> None:
            while not creating.done():
                assert log.topics()
                assert log.expire(now=0) == 0
                assert log.committed("r0").positions == {}

        for looking in [pool.submit(look) for _ in range(3)]:
            looking.result()
        creating.result()
    assert len(log.topics()) == 151
    log.close()
    other.close()


def test_a_right_to_write_that_could_not_be_used_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "r.sqlite"
    file.write_bytes(b"no database" * 100)
    log = SqliteLog(tmp_path)
    with pytest.raises(LogError, match="corrupt") as told:
        log.writer("r")
    file.unlink()
    log.writer("r").close()
    assert told.value.__traceback__ is not None  # whose frames still hold what was half made
    log.close()


def test_closing_a_writer_twice_is_once(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    writer = log.writer("r")
    writer.close()
    other = log.writer("q")  # may be given the number of the descriptor that was closed
    writer.close()
    with pytest.raises(WriterTaken):
        log.writer("q")
    other.close()
    log.close()


def test_a_topic_has_the_retention_that_was_asked_for_last(tmp_path: Path) -> None:
    log, other = SqliteLog(tmp_path), SqliteLog(tmp_path)
    log.create(Topic("t", "r", 1, retention=10))
    assert other.topic("t").retention == 10
    log.create(Topic("t", "r", 1, retention=20))
    assert log.topic("t").retention == 20
    assert [topic.retention for topic in other.topics()] == [20]
    log.close()
    other.close()


def test_what_expired_makes_room_for_what_comes(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.create(Topic("t", "r", 1, retention=50))
    writer = log.writer("r")
    sizes = []
    for now in range(1_000):
        with writer.transaction() as transaction:
            transaction.append("t", 0, Block(1, 1, b"x" * 30_000, now))
        if now % 10 == 0:
            log.expire(now)
            sizes.append((tmp_path / "r.sqlite").stat().st_size)
    assert log.bounds("t") == [(940, 1_000)]
    assert max(sizes[50:]) <= max(sizes[:50]) < 200 * 30_000
    writer.close()
    log.close()
