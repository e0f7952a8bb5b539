"""The keeper drops what has expired and was read by all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.errors import OffsetOutOfRange
from headrace.log.batches import Block, Framed, Mark, Record
from headrace.log.contract import Topic
from headrace.log.keeper import EVERY, Keeper
from headrace.log.sqlite import SqliteLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path)
    log.create(Topic("short", "writes", 1, retention=100))
    log.create(Topic("long", "writes", 1, retention=1_000))
    log.create(Topic("ever", "writes", 1))
    writer = log.writer("writes")
    with writer.transaction() as transaction:
        for topic in ("short", "long", "ever"):
            transaction.append(topic, 0, Block(1, 5, b"x", 10))
            transaction.append(topic, 0, Framed.of([Record(b"k", b"v", arrival=at) for at in (40, 30)], 0))
            transaction.append(topic, 0, Mark(50))
    writer.close()
    yield log
    log.close()


def read(log: SqliteLog, role: str, **offsets: int) -> None:
    writer = log.writer(role)
    with writer.transaction() as transaction:
        transaction.commit({(topic, 0): offset for topic, offset in offsets.items()})
    writer.close()


def firsts(log: SqliteLog) -> list[int]:
    return [log.bounds(topic)[0][0] for topic in ("short", "long", "ever")]


def test_what_expired_and_was_read_is_dropped(log: SqliteLog) -> None:
    keeper = Keeper(log, ["reads", "idle"])
    read(log, "reads", short=8, long=8, ever=0)
    assert keeper.look(now=110) == 0
    assert keeper.look(now=111 + EVERY) == 16
    assert firsts(log) == [8, 8, 0]


@pytest.mark.parametrize(("offset", "first"), [(0, 0), (4, 0), (5, 5), (6, 5), (7, 7), (8, 8)])
def test_what_a_role_has_not_read_stays_however_old_it_is(log: SqliteLog, offset: int, first: int) -> None:
    read(log, "reads", short=8, long=8)
    read(log, "behind", short=offset)
    Keeper(log, ["reads", "behind"]).look(now=10**9)
    assert firsts(log)[0] == first
    assert log.read("short", 0, offset, 9) or offset == 8


def test_it_looks_once_a_minute(log: SqliteLog) -> None:
    keeper = Keeper(log, [])
    assert keeper.look(now=111) == 5
    assert keeper.look(now=10 + EVERY) == 0
    assert keeper.look(now=111 + EVERY) == 11


def test_a_role_below_retention_is_told_so_and_holds_nothing_back(log: SqliteLog) -> None:
    log.expire(now=140)
    read(log, "lost", short=2)
    with pytest.raises(OffsetOutOfRange, match="topic short"):
        log.read("short", 0, 2, 1)
    assert Keeper(log, ["lost"]).look(now=10**9) > 0
