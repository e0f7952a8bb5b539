"""What is wrong with a replay is said in one sentence that names the flag or the file."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.errors import RoleError, SourceError
from headrace.log.batches import Mark
from headrace.log.clock import CLOSED, OPENED, MarkClock
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog
from headrace.log.turns import transaction_in_turn
from headrace.replay.askers import asker
from headrace.replay.feed import Feed
from headrace.replay.patience import Look, Patience
from headrace.replay.replayer import Replayer
from headrace.replay.steps import longest_step, steps
from headrace.retraining.ledger import Entry
from headrace.schema.folder import FolderSchemas

FRAUD = read_project(Path(__file__).parents[1] / "projects" / "fraud.py")
PAYMENT = FRAUD.streams["payment"]
TIME = pa.timestamp("ms")


def payments(**columns: Any) -> pa.Table:
    rows = {
        "payment_id": ["p1", "p2"], "card": ["c1", "c2"], "merchant": ["m1", "m1"], "amount": [1.0, 2.0],
        "paid_at": pa.array([1_000, 2_000], TIME),
    }  # fmt: skip
    return pa.table({**rows, **columns})


def test_a_step_of_no_time_and_an_end_before_the_beginning() -> None:
    with pytest.raises(SourceError, match="--step: it is 0"):
        steps(FRAUD, 0, DAY, 0)
    with pytest.raises(SourceError, match="--from: it lies after --to"):
        steps(FRAUD, DAY, 0, 1_000)
    assert steps(FRAUD, DAY, DAY, 1_000) == [DAY]


def test_events_that_are_asked_with_need_a_lateness() -> None:
    never_late = replace(PAYMENT, lateness=0)
    declaration = replace(FRAUD, streams={**FRAUD.streams, "payment": never_late})
    assert declaration.example_stream.lateness == 0
    with pytest.raises(SourceError, match="its lateness is 0"):
        longest_step(declaration)


def test_the_events_to_ask_with_are_missing() -> None:
    nothing: Any = None
    with pytest.raises(SourceError, match=r"add --feed payment=FILE"):
        asker(FRAUD, nothing, nothing, {}, nothing, nothing)


def test_a_path_with_a_quote_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "o'clock [1].parquet"
    pq.write_table(payments(), file)
    assert Feed.read(PAYMENT, [file]).count(0, DAY) == 2


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        (payments(paid_at=["noon", "later"]), "noon"),
        (payments(amount=["much", "1.5"]), "much"),
        (payments(arrival=pa.array([1_000, None], TIME)), "arrival is null in 1 rows"),
        (payments(paid_at=pa.array([1_000, None], TIME)), "paid_at is null in 1 rows"),
        (payments().drop_columns(["card"]), "no column card"),
    ],
)
def test_a_file_that_does_not_fit(table: pa.Table, cause: str, tmp_path: Path) -> None:
    file = tmp_path / "payments.parquet"
    pq.write_table(table, file)
    with pytest.raises(SourceError, match=cause) as told:
        Feed.read(PAYMENT, [file])
    assert told.value.subject == "feed of payment"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="name Parquet files that exist"):
        Feed.read(PAYMENT, [tmp_path / "none.parquet"])


def test_patience_names_who_is_behind_and_lasts_as_long_as_work_is_done() -> None:
    work = iter([1, 2, 3, *[4] * 100])
    looks = []

    def look() -> Look:
        looks.append(None)
        return Look(["tile", "online"], None)

    with pytest.raises(RoleError, match="tile, online: no progress for 0 s"):
        Patience(0.0, 0.0, lambda: next(work)).wait("replay", look)
    assert len(looks) >= 4


def test_patience_lasts_as_long_as_anything_moves() -> None:
    state = iter(range(50))
    Patience(0.0, 0.0).wait("replay", lambda: Look(["tile"] if (now := next(state)) < 49 else [], now))


@pytest.fixture
def log(tmp_path: Path) -> Any:
    made = SqliteLog(tmp_path / "log")
    yield made
    made.close()


def marked(log: SqliteLog, opened: int, closed: int) -> None:
    log.create(Topic("fraud.clock", "producers", 2))
    with transaction_in_turn(log, "producers") as transaction:
        for place, last in ((OPENED, opened), (CLOSED, closed)):
            for mark in range(1, last + 1):
                transaction.append("fraud.clock", place, Mark(mark))


def test_the_clock_shows_the_newest_of_many_marks_at_once(log: SqliteLog) -> None:
    marked(log, 2_500, 1_001)
    clock = MarkClock(log, "fraud.clock")
    assert (clock.now(), clock.mark(), clock.closed()) == (2_500, 2_500, 1_001)


def test_threads_share_a_clock(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    marked(log, 3, 2)
    clock, read, inside = MarkClock(log, "fraud.clock"), log.read, []

    def alone(*arguments: Any) -> Any:
        inside.append(None)
        time.sleep(0.001)
        assert len(inside) == 1
        inside.pop()
        return read(*arguments)

    monkeypatch.setattr(log, "read", alone)
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(look) for _ in range(10) for look in (clock.mark, clock.closed)]
    assert [job.result() for job in jobs] == [3, 2] * 10


def test_a_replay_leaves_no_gap_behind_an_earlier_one(log: SqliteLog, tmp_path: Path) -> None:
    marked(log, 1_000, 1_000)
    feeds = {"payment": Feed(PAYMENT, payments(), np.array([5, 1_500]))}
    nobody: Any = None
    replayer = Replayer(FRAUD, log, FolderSchemas(tmp_path / "schemas"), feeds, nobody, 1, Patience(0.0))
    with pytest.raises(RoleError, match=r"it came to 1970-01-01T00:00:01\+00:00 before.*same --from"):
        replayer.run([2_000, 3_000])


def test_texts_of_a_project_are_no_markup(make_console: Callable[[], Console]) -> None:
    told_of = importlib.import_module("headrace.cli.replay").told_of
    console = make_console()
    console.print(told_of("2017-07-06 00:00", Entry(0, "failed", "model", {"reason": "column [bold] of [/x]"})))
    assert console.export_text() == "2017-07-06 00:00  failed model: column [bold] of [/x]\n"


@pytest.fixture
def make_console() -> Callable[[], Console]:
    return lambda: Console(record=True, quiet=False, width=200)
