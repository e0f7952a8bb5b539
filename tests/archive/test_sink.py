"""The archiver's sink: every row once, marks only when all before them is in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.archive.delta import Archive
from headrace.archive.sink import ArchiveSink
from headrace.declare.types import ColumnType
from headrace.errors import LogError
from headrace.log.batches import Framed, Mark, Record
from headrace.log.consumer import Consumer
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.folder import FolderSchemas

COLUMNS = {"n": ColumnType("int"), "text": ColumnType("str")}
TOPICS = ("first", "second")


class World:
    """A log with two topics of two partitions, and an archive."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log, self.registry = SqliteLog(home / "log"), FolderSchemas(home / "schemas")
        self.archive = Archive(home / "archive")
        for topic in TOPICS:
            self.log.create(Topic(topic, "writer", 2))
        self.ids = {
            topic: self.registry.register(f"{topic}-value", nullable_schema(topic, COLUMNS)).id for topic in TOPICS
        }
        self.writer = self.log.writer("writer")
        self.count = 0

    def rows(self, topic: str, partition: int, count: int) -> None:
        numbers = list(range(self.count, self.count + count))
        self.count += count
        table = pa.table({"n": numbers, "text": [f"text {n}" for n in numbers]})
        with self.writer.transaction() as transaction:
            transaction.append(topic, partition, encode_block(table, self.ids[topic], arrival=0))

    def mark(self, time: int) -> None:
        with self.writer.transaction() as transaction:
            for topic in TOPICS:
                for partition in range(2):
                    transaction.append(topic, partition, Mark(time))

    def sink(self, **options: int) -> ArchiveSink:
        return ArchiveSink(Archive(self.home / "archive"), self.registry, dict.fromkeys(TOPICS, COLUMNS), **options)

    def consume(self, sink: ArchiveSink, limit: int = 1000) -> None:
        consumer = Consumer(self.log, TOPICS, sink, limit)
        while consumer.step():
            pass

    def archived(self) -> list[int]:
        return sorted(n for topic in TOPICS for n in self.archive.read(topic)["n"].to_pylist())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_row_keeps_its_place_in_the_log(world: World) -> None:
    world.rows("first", 0, 3)
    world.rows("first", 1, 2)
    sink = world.sink()
    world.consume(sink)
    sink.flush()
    found = world.archive.read("first").sort_by("n").to_pylist()
    assert found == [
        {"n": n, "text": f"text {n}", "_log_partition": partition, "_log_offset": offset}
        for n, (partition, offset) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)])
    ]


def test_a_live_sink_commits_by_rows_or_when_asked(world: World) -> None:
    sink = world.sink(rows=10)
    world.rows("first", 0, 9)
    world.consume(sink)
    assert world.archived() == []
    assert sink.position() == {}
    world.rows("second", 0, 1)
    world.consume(sink)
    assert world.archived() == list(range(10))
    world.rows("first", 0, 1)
    world.consume(sink)
    sink.settle(seconds=3600)
    assert world.archived() == list(range(10))
    sink.settle(seconds=0)
    assert world.archived() == list(range(11))


def test_every_mark_is_kept_and_an_idle_topic_costs_no_commit(world: World) -> None:
    sink = world.sink(rows=1_000_000)
    for mark in range(1, 6):
        world.rows("first", mark % 2, 3)
        world.mark(mark * 1000)
        world.consume(sink)
        assert (sink.mark(), world.archive.mark()) == (mark * 1000, mark * 1000)
        assert world.archived() == list(range(3 * mark))
    assert world.archive.versions() == {"first": 5, "second": 0}
    assert world.archive.position(TOPICS) == world.sink().position()
    assert all(offset > 0 for offset in world.archive.position(TOPICS).values())


def test_what_was_committed_before_a_kill_is_not_appended_again(world: World) -> None:
    world.rows("first", 0, 5)
    world.rows("second", 0, 5)
    world.mark(1000)
    sink = world.sink()
    killed: Any = sink._archive
    remember = killed.remember
    killed.remember = lambda progress: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        world.consume(sink)
    killed.remember = remember
    assert world.archived() == list(range(10))
    assert world.archive.mark() is None
    again = world.sink()
    assert again.position() == {}
    world.consume(again)
    assert world.archived() == list(range(10))
    assert world.archive.mark() == 1000


def test_a_failed_commit_is_forgotten_and_read_again(world: World) -> None:
    world.rows("first", 0, 5)
    sink = world.sink(rows=1)
    broken: Any = sink._archive
    append, broken.append = broken.append, lambda *_: (_ for _ in ()).throw(OSError("no space"))
    consumer = Consumer(world.log, TOPICS, sink)
    with pytest.raises(OSError, match="no space"):
        consumer.step()
    broken.append = append
    consumer.step()
    assert world.archived() == list(range(5))


def test_small_files_are_made_few(world: World) -> None:
    sink = world.sink(rows=1, compact=5)
    for _ in range(12):
        world.rows("first", 0, 2)
        world.consume(sink)
    assert world.archived() == list(range(24))
    assert len(list((world.home / "archive" / "first").glob("*.parquet"))) > 12  # nothing is deleted
    assert world.archive.compact(["first"])["first"] < 5


def test_what_is_not_ours_is_refused_by_place(world: World) -> None:
    with world.writer.transaction() as transaction:
        transaction.append("first", 1, Framed.of([Record(b"k", b"nonsense")], now=0))
    with pytest.raises(LogError, match="topic first, partition 1, offset 0: it cannot be archived"):
        world.consume(world.sink())


def test_every_row_once_through_kills(world: World) -> None:
    for mark in range(1, 34):
        for topic in TOPICS:
            for partition in range(2):
                world.rows(topic, partition, 11 + mark % 5)
        if mark % 3 == 0:
            world.mark(mark * 1000)
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, script, "archive", world.home, "1", "6"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    assert world.archived() == list(range(world.count))
    assert world.archive.mark() == 33_000
    ends = {(topic, n): end for topic in TOPICS for n, (_, end) in enumerate(world.log.bounds(topic))}
    assert world.archive.position(TOPICS) == ends
