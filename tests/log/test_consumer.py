"""The consumer's loop: the sink's position wins, and marks pass when all partitions have passed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import OffsetOutOfRange
from headrace.log.batches import Batch, Block, Content, Mark, Partition, Positions
from headrace.log.consumer import Consumer
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog


class Memory:
    """A sink that counts what it was given, and fails when told to."""

    def __init__(self) -> None:
        self.positions: dict[Partition, int] = {}
        self.passed: int | None = None
        self.batches: list[Batch] = []
        self.marks: list[int | None] = []
        self.broken = False

    def position(self) -> Positions:
        return dict(self.positions)

    def mark(self) -> int | None:
        return self.passed

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        if self.broken:
            raise RuntimeError("broken")
        assert batches
        self.batches += batches
        self.positions = dict(positions)
        self.passed = mark
        self.marks.append(mark)

    @property
    def records(self) -> list[tuple[str, int, int]]:
        return [
            (batch.topic, batch.partition, place)
            for batch in self.batches
            for place in range(batch.offset, batch.end)
        ]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path)
    yield log
    log.close()


def append(log: SqliteLog, topic: str, *contents: tuple[int, Content]) -> None:
    writer = log.writer(log.topic(topic).owner)
    with writer.transaction() as transaction:
        for partition, content in contents:
            transaction.append(topic, partition, content)
    writer.close()


def block(count: int) -> Block:
    return Block(1, count, b"x" * count, 5)


def test_a_step_takes_what_is_new_once(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 2))
    sink = Memory()
    consumer = Consumer(log, ["t"], sink)
    assert consumer.step() == 0
    append(log, "t", (0, block(2)), (1, block(3)))
    assert consumer.step() == 5
    assert consumer.step() == 0
    append(log, "t", (1, block(1)))
    assert consumer.step() == 1
    assert sink.positions == {("t", 0): 2, ("t", 1): 4}
    assert sink.records == [("t", 0, 0), ("t", 0, 1), ("t", 1, 0), ("t", 1, 1), ("t", 1, 2), ("t", 1, 3)]


def test_a_topic_that_is_not_there_is_waited_for(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 1))
    sink = Memory()
    consumer = Consumer(log, ["t", "late"], sink)
    append(log, "t", (0, block(2)), (0, Mark(7)), (0, block(1)))
    assert [consumer.step(), consumer.step()] == [2, 0]
    log.create(Topic("late", "q", 1))
    append(log, "late", (0, block(1)), (0, Mark(7)))
    assert [consumer.step(), consumer.step(), consumer.step()] == [3, 1, 0]
    assert sink.marks == [None, 7, 7]


def test_an_unmarked_topic_is_neither_held_nor_waited_for(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 1))
    sink = Memory()
    consumer = Consumer(log, ["t"], sink, unmarked=["history"])
    append(log, "t", (0, block(2)), (0, Mark(7)))
    assert consumer.step() == 3
    log.create(Topic("history", "q", 1))
    append(log, "history", (0, block(5)))
    assert consumer.step() == 5
    append(log, "t", (0, Mark(8)))
    assert consumer.step() == 1
    assert sink.marks == [7, 7, 8]


def test_the_sinks_position_wins_after_a_failure_and_a_restart(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 1))
    sink = Memory()
    consumer = Consumer(log, ["t"], sink)
    append(log, "t", (0, block(2)))
    consumer.step()
    append(log, "t", (0, block(2)))
    sink.broken = True
    with pytest.raises(RuntimeError):
        consumer.step()
    sink.broken = False
    sink.positions = {("t", 0): 0}
    sink.batches.clear()
    assert consumer.step() == 4
    sink.positions = {("t", 0): 2}
    assert Consumer(log, ["t"], sink).step() == 2


def test_a_mark_is_passed_by_all_partitions_at_once(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 2))
    sink = Memory()
    consumer = Consumer(log, ["t"], sink)
    append(log, "t", (0, block(2)), (0, Mark(10)), (0, block(3)))
    assert [consumer.step(), consumer.step()] == [2, 0]
    append(log, "t", (1, block(1)))
    assert consumer.step() == 1
    append(log, "t", (1, Mark(10)), (0, Mark(20)))
    assert [consumer.step(), consumer.step(), consumer.step()] == [2, 3, 0]
    assert sink.marks == [None, None, 10, 10]
    assert sink.positions == {("t", 0): 6, ("t", 1): 2}
    again = Consumer(log, ["t"], sink)
    append(log, "t", (1, Mark(20)))
    assert again.step() == 2
    assert sink.passed == 20


def test_a_mark_that_only_some_partitions_have_is_passed_alone(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 2))
    sink = Memory()
    consumer = Consumer(log, ["t"], sink)
    append(log, "t", (0, Mark(10)), (1, Mark(20)))
    assert [consumer.step(), consumer.step()] == [1, 0]
    append(log, "t", (0, Mark(20)))
    assert consumer.step() == 2
    assert sink.marks == [10, 20]


def test_below_retention(log: SqliteLog) -> None:
    log.create(Topic("t", "r", 1, retention=0))
    append(log, "t", (0, block(2)))
    log.expire(now=100)
    append(log, "t", (0, block(2)))
    fresh = Memory()
    assert Consumer(log, ["t"], fresh).step() == 2
    stale = Memory()
    stale.positions = {("t", 0): 1}
    with pytest.raises(OffsetOutOfRange):
        Consumer(log, ["t"], stale).step()


@given(
    appends=st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), max_size=3), max_size=6),
    crashes=st.sets(st.integers(0, 12)),
    limit=st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
def test_every_record_is_applied_once_whatever_crashes(
    tmp_path_factory: pytest.TempPathFactory, appends: list[list[tuple[int, int]]], crashes: set[int], limit: int
) -> None:
    log = SqliteLog(tmp_path_factory.mktemp("log"))
    log.create(Topic("t", "r", 2))
    sink = Memory()
    consumer = Consumer(log, ["t"], sink, limit)
    for step, contents in enumerate([*appends, *[[]] * 12]):
        append(log, "t", *((partition, block(count)) for partition, count in contents))
        if step in crashes:
            consumer = Consumer(log, ["t"], sink, limit)
        consumer.step()
    while consumer.step():
        pass
    wanted = [("t", partition, place) for partition, (_, end) in enumerate(log.bounds("t")) for place in range(end)]
    assert sorted(sink.records) == wanted
    log.close()
