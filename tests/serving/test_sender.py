"""From the prediction log to the topics: each prediction once, in its partition, whatever happens on the way."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from headrace.archive.columns import archived
from headrace.declare.keys import key_text
from headrace.declare.topics import Topics
from headrace.errors import LogError
from headrace.log.batches import Block, Framed, Mark
from headrace.log.contract import Topic
from headrace.log.murmur2 import partition_for
from headrace.log.sqlite import SqliteLog
from headrace.log.sqlite_writer import SqliteTransaction
from headrace.schema.avro import decode
from headrace.schema.folder import FolderSchemas
from headrace.serving.predictor import Loaded
from headrace.serving.requests import Requests
from headrace.serving.segment import SegmentWriter, segments
from headrace.serving.sender import Sender, append_time, prediction_time
from headrace.stream.producer import Producer, raw_schema

PARTITIONS = 3
APPENDED = 1_600_000_000_000


@dataclass
class Bus:
    """A log, schemas, and what is in them."""

    folder: Path
    log: SqliteLog
    schemas: FolderSchemas

    def sender(self, serving: Any, arrival: Any = append_time) -> Sender:
        return Sender(
            serving.declaration, self.log, self.schemas, serving.folder, partitions=PARTITIONS,
            now=lambda: APPENDED, arrival=arrival,
        )  # fmt: skip

    def batches(self, topic: str) -> list[Any]:
        return [
            batch
            for partition in range(len(self.log.bounds(topic)))
            for batch in self.log.read(topic, partition, 0, 1_000_000)
        ]

    def rows(self, topic: str, columns: Any) -> list[dict[str, Any]]:
        latest = self.schemas.latest(f"{topic}-value")
        assert latest is not None
        decoded = decode(self.batches(topic), self.schemas, latest.schema, columns)
        assert decoded.undecodable.num_rows == 0
        return decoded.table.to_pylist()

    def predictions(self, serving: Any) -> list[dict[str, Any]]:
        topic = Topics.of(serving.declaration).predictions
        return self.rows(topic, archived(serving.declaration)[topic])


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    log = SqliteLog(tmp_path / "log")
    yield Bus(tmp_path, log, FolderSchemas(tmp_path / "schemas"))
    log.close()


def drained(sender: Sender) -> None:
    while sender.ship():
        pass


def row_of(serving: Any, number: int) -> dict[str, Any]:
    [row] = Requests.of(serving.declaration).rehearsal()
    entity = {name: f"k{number}" if kind.kind == "str" else number
              for name, kind in serving.declaration.request.items() if kind.kind in ("str", "int")}  # fmt: skip
    return {**row, **entity}


def test_what_was_logged_is_in_the_topic_as_it_was_served(serving: Any, bus: Bus) -> None:
    rows = [row_of(serving, number) for number in range(40)]
    answers = serving.predictor.predict(rows)
    sender = bus.sender(serving)
    drained(sender)
    sender.close()
    found = {row["_id"]: row for row in bus.predictions(serving)}
    assert set(found) == {answer.id for answer in answers}
    served = serving.predictor.loaded.model.asked
    topic = Topics.of(serving.declaration).predictions
    for answer, row, values in zip(answers, rows, served, strict=True):
        there = found[answer.id]
        assert (there["_t"], there["_model"], there["_prediction"], there["_unknown"]) == (
            answer.t, "1", 1.5, answer.unknown,
        )  # fmt: skip
        assert {name: there[f"feature__{name}"] for name in values} == values
        key = key_text([row[name] for name in serving.declaration.entity])
        assert there["_partition"] == partition_for(key.encode(), PARTITIONS)
    assert all(isinstance(batch.content, Block) for batch in bus.batches(topic))
    assert bus.log.topic(topic) == Topic(topic, "serve", PARTITIONS)


def test_the_event_of_a_prediction_goes_to_the_raw_topic(fraud: Any, bus: Bus, fake_model: Any) -> None:
    fraud.predictor.swap(Loaded("1", fake_model()))
    stream = fraud.declaration.example_stream
    rows = [row_of(fraud, number) for number in range(20)]
    answers = fraud.predictor.predict(rows)
    for arrival, expected in ((append_time, [APPENDED] * 20), (prediction_time, [answer.t for answer in answers])):
        here = Bus(
            bus.folder,
            SqliteLog(bus.folder / arrival.__name__),
            FolderSchemas(bus.folder / f"{arrival.__name__}.s"),
        )
        sender = here.sender(fraud, arrival)
        drained(sender)
        sender.close()
        batches = here.batches(stream.topic)
        assert all(isinstance(batch.content, Framed) for batch in batches)
        decoded = decode(batches, here.schemas, raw_schema(stream), stream.columns).table.to_pylist()
        asked = {row["payment_id"]: row for row in rows}
        assert sorted(row["payment_id"] for row in decoded) == sorted(asked)
        assert [row["_arrival"] for row in decoded] == expected
        for row in decoded:
            own = asked[row["payment_id"]]
            assert (row["card"], row["amount"]) == (own["card"], own["amount"])
            assert row["paid_at"].replace(tzinfo=UTC).timestamp() * 1_000 == own["paid_at"]
            assert row["_partition"] == partition_for(own["card"].encode(), PARTITIONS)
        keys = [key for batch in batches for key in batch.content.records.column("key").to_pylist()]
        assert sorted(keys) == sorted(row["card"].encode() for row in rows)
        latest = here.schemas.latest(f"{stream.topic}-value")
        assert latest is not None
        assert latest.schema == raw_schema(stream)
        here.log.close()


def test_events_reach_a_raw_topic_that_producers_own(fraud: Any, bus: Bus, fake_model: Any) -> None:
    fraud.predictor.swap(Loaded("1", fake_model()))
    stream = fraud.declaration.example_stream
    Producer(bus.log, bus.schemas, stream, partitions=2)
    sender = bus.sender(fraud)
    ids = [answer.id for answer in fraud.predictor.predict([row_of(fraud, number) for number in range(5)])]
    busy = bus.log.writer("producers")
    stop = threading.Event()
    stop.set()
    sender.run(stop)
    assert "is its writer already" in (sender.problem or "")
    assert sender.unshipped() > 0
    busy.close()
    drained(sender)
    assert sender.unshipped() == 0
    assert sorted(row["_id"] for row in bus.predictions(fraud)) == sorted(ids)
    assert len(bus.rows(stream.topic, stream.columns)) == 5
    sender.close()


@pytest.mark.parametrize("seed", range(3))
def test_each_once_whatever_fails_and_restarts(
    serving: Any, bus: Bus, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Appends that fail half way, senders that begin anew, small segments, torn tails."""
    chance = random.Random(seed)
    append = SqliteTransaction.append

    def failing(self: Any, topic: str, partition: int, content: Any) -> int:
        if chance.random() < 0.3:
            raise LogError("log", "it failed", "try again")
        return append(self, topic, partition, content)

    ids: list[str] = []
    sender = bus.sender(serving)
    for _ in range(12):
        writer = SegmentWriter(serving.folder, size=3_000)
        monkeypatch.setattr(serving.predictor, "_log", writer)
        for _ in range(chance.randrange(4)):
            rows = [row_of(serving, chance.randrange(9)) for _ in range(chance.randrange(1, 4))]
            ids += [answer.id for answer in serving.predictor.predict(rows)]
            with monkeypatch.context() as patch:
                patch.setattr(SqliteTransaction, "append", failing)
                for _ in range(2):
                    with suppress(LogError):
                        sender.ship()
            if chance.random() < 0.5:
                sender.close()
                sender = bus.sender(serving)
        writer.close()
        if (last := segments(serving.folder)[-1:]) and chance.random() < 0.5:
            with last[0].open("ab") as file:
                file.write(b"\x80\x01\x00\x00torn")
    drained(sender)
    assert len(segments(serving.folder)) <= 1
    sender.close()
    assert sorted(row["_id"] for row in bus.predictions(serving)) == sorted(ids)
    if "card" in serving.declaration.request:
        topic = serving.declaration.example_stream.topic
        assert sum(end for _, end in bus.log.bounds(topic)) == len(ids)


def test_a_corrupt_segment_is_set_aside_and_does_not_stop_the_rest(serving: Any, bus: Bus) -> None:
    [first] = serving.predictor.predict([row_of(serving, 1)])
    serving.predictor.predict([row_of(serving, 2)])
    [path] = segments(serving.folder)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    serving.log.close()
    [last] = serving.predictor.predict([row_of(serving, 3)])
    sender = bus.sender(serving)
    drained(sender)
    sender.close()
    assert {row["_id"] for row in bus.predictions(serving)} == {first.id, last.id}
    assert path.with_suffix(".corrupt").exists()


def test_marks_stand_after_all_that_was_logged_and_once(serving: Any, bus: Bus) -> None:
    topic = Topics.of(serving.declaration).predictions
    sender = bus.sender(serving, prediction_time)
    serving.predictor.predict([row_of(serving, number) for number in range(9)])
    sender.mark(10)
    sender.mark(10)
    sender.close()
    sender = bus.sender(serving, prediction_time)
    sender.mark(10)
    assert bus.log.committed("serve").mark == 10
    serving.predictor.predict([row_of(serving, 1)])
    sender.mark(20)
    sender.close()
    for partition in range(PARTITIONS):
        contents = [batch.content for batch in bus.log.read(topic, partition, 0, 1_000)]
        assert [content.time for content in contents if isinstance(content, Mark)] == [10, 20]
        assert isinstance(contents[-1], Mark)
    assert len(bus.predictions(serving)) == 10


def test_a_thread_ships_what_comes_and_at_the_end_what_is_left(serving: Any, bus: Bus) -> None:
    sender = bus.sender(serving)
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    ids = [serving.predictor.predict([row_of(serving, number)])[0].id for number in range(50)]
    stop.set()
    thread.join()
    sender.close()
    assert sorted(row["_id"] for row in bus.predictions(serving)) == sorted(ids)


def test_a_corrupt_segment_is_kept_over_restarts_and_told_at_each_start(
    demand: Any, bus: Bus, fake_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    demand.predictor.swap(Loaded("1", fake_model()))
    demand.predictor.predict([row_of(demand, 1)])
    demand.log.close()
    [path] = segments(demand.folder)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    sender = bus.sender(demand)
    drained(sender)
    assert sender.corrupt() is None
    sender.close()
    [last] = demand.predictor.predict([row_of(demand, 2)])
    sender = bus.sender(demand)
    drained(sender)
    sender.close()
    kept = path.with_suffix(".corrupt")
    assert kept.read_bytes() == bytes(content)
    assert [row["_id"] for row in bus.predictions(demand)] == [last.id]
    for _ in range(2):
        caplog.clear()
        sender = bus.sender(demand)
        sender.close()
        assert kept.name in caplog.text
        assert kept.name in (sender.corrupt() or "")


def test_following_marks_tells_a_failure_and_tries_again(demand: Any, bus: Bus, fake_model: Any) -> None:
    demand.predictor.swap(Loaded("1", fake_model()))
    demand.predictor.predict([row_of(demand, 1)])
    sender, stop, told = bus.sender(demand, prediction_time), threading.Event(), []

    def closed() -> int:
        told.append(sender.problem)
        if len(told) == 1:
            raise LogError("log", "it failed", "try again")
        if sender.problem is None:
            stop.set()
        return 10

    sender.follow(closed, stop, idle=0.0, pause=0.0)
    sender.close()
    assert told[0] is None
    assert "it failed" in (told[1] or "")
    assert bus.log.committed("serve").mark == 10
    assert len(bus.predictions(demand)) == 1


def test_a_step_that_is_open_is_not_shipped_by_the_mark_before_it(demand: Any, bus: Bus, fake_model: Any) -> None:
    demand.predictor.swap(Loaded("1", fake_model()))
    demand.predictor.predict([row_of(demand, 1)])
    sender = bus.sender(demand, prediction_time)
    sender.mark(10)
    demand.log.close()
    for number in range(3):  # the process ends and begins anew in the middle of the next step
        demand.predictor.predict([row_of(demand, number)])
        demand.log.close()
        sender.close()
        sender = bus.sender(demand, prediction_time)
        sender.mark(10)
    assert len(bus.predictions(demand)) == 1
    assert len(segments(demand.folder)) == 4
    sender.mark(20)
    assert len(bus.predictions(demand)) == 4
    assert len(segments(demand.folder)) == 1
    sender.close()
