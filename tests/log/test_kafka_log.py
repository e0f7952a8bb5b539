"""What is particular to the log on Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.errors import LogError, WriterTaken
from headrace.log.batches import Batch, Block, Framed, Mark, Positions, Record
from headrace.log.consumer import Consumer as Loop
from headrace.log.contract import Commit, Topic
from headrace.log.kafka import KafkaLog
from headrace.log.kafka.leases import Holder
from headrace.log.kafka.state import as_json
from headrace.stream.intake import Intake


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def topic() -> str:
    return f"t-{uuid4().hex[:12]}"


def split(block: Block) -> pa.Array:
    return pa.array([bytes([0, 0, 0, 0, block.schema_id, byte]) for byte in block.body], pa.binary())


@pytest.fixture
def log(kafka_servers: str, namespace: str) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka_servers, split, namespace=namespace)
    yield log
    log.close()


def outsiders_topic(servers: str, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    (made,) = admin.create_topics([NewTopic(topic, partitions, -1)]).values()
    made.result()


def raw_messages(servers: str, topic: str, count: int) -> list[object]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "raw", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = consumer.consume(count, 30)
    consumer.close()
    return found


def test_anyone_can_read_what_a_writer_wrote(log: KafkaLog, kafka_servers: str, topic: str) -> None:
    log.create(Topic(topic, "r", 1))
    writer = log.writer("r")
    with writer.transaction() as transaction:
        transaction.append(topic, 0, Block(9, 2, b"ab", 1_000))
        transaction.append(topic, 0, Framed.of([Record(b"k", b"v", {"h": b"1"}, arrival=7)], 0))
        transaction.append(topic, 0, Mark(17))
    writer.close()
    found = [(m.key(), m.value(), m.headers()) for m in raw_messages(kafka_servers, topic, 4)]
    assert found == [
        (None, b"\x00\x00\x00\x00\x09a", [("headrace-arrival", b"1000")]),
        (None, b"\x00\x00\x00\x00\x09b", [("headrace-arrival", b"1000")]),
        (b"k", b"v", [("headrace-arrival", b"7"), ("h", b"1")]),
        (None, None, [("headrace-mark", b"17")]),
    ]


def test_what_outsiders_send_arrives_when_the_broker_appends_it(
    log: KafkaLog, kafka_servers: str, topic: str
) -> None:
    outsiders_topic(kafka_servers, topic)
    assert log.topic(topic) == Topic(topic, "producers", 1)
    producer = Producer({"bootstrap.servers": kafka_servers})
    producer.produce(topic, b"v", b"k", headers=[("h", b"1"), ("none", None)])
    producer.produce(topic, None, b"k", headers=[("headrace-arrival", b"no number")])
    producer.flush(30)
    (batch,) = log.read(topic, 0, 0, 10)
    assert isinstance(batch.content, Framed)
    times = [m.timestamp()[1] for m in raw_messages(kafka_servers, topic, 2)]
    assert batch.content.records.to_pylist() == [
        {"key": b"k", "value": b"v", "arrival": times[0], "headers": [("h", b"1"), ("none", None)]},
        {"key": b"k", "value": None, "arrival": times[1], "headers": None},
    ]


def test_a_topic_that_exists_is_taken_over_as_it_is(log: KafkaLog, kafka_servers: str, topic: str) -> None:
    outsiders_topic(kafka_servers, topic, 2)
    with pytest.raises(LogError, match="2 partitions"):
        log.create(Topic(topic, "enrich", 3))
    log.create(Topic(topic, "enrich", 2))
    assert log.topic(topic).owner == "enrich"
    with pytest.raises(LogError, match="'enrich'"):
        log.create(Topic(topic, "tile", 2))


def test_offsets_that_another_program_commits_are_seen(
    log: KafkaLog, kafka_servers: str, namespace: str, topic: str
) -> None:
    log.create(Topic(topic, "producers", 2))
    group = Consumer({"bootstrap.servers": kafka_servers, "group.id": f"{namespace}.enrich"})
    group.commit(offsets=[TopicPartition(topic, 1, 41)], asynchronous=False)
    group.close()
    assert log.committed("enrich") == Commit({(topic, 1): 41}, None)


def test_a_fenced_writer_is_told(log: KafkaLog, kafka_servers: str, namespace: str, topic: str) -> None:
    log.create(Topic(topic, "r", 1))
    first = log.writer("r")
    elsewhere = replace(Holder.here(), host="elsewhere")
    log.state.put("lease/r", as_json(elsewhere.record()))
    other = KafkaLog(kafka_servers, split, namespace=namespace)
    second = other.writer("r")
    for _ in range(2):
        with pytest.raises(WriterTaken, match="another process"), first.transaction() as transaction:
            transaction.append(topic, 0, Block(1, 1, b"a", 0))
    first.close()
    with second.transaction() as transaction:
        transaction.append(topic, 0, Block(1, 1, b"b", 0))
    with pytest.raises(WriterTaken, match="process"):
        log.writer("r")
    second.close()
    other.close()
    (batch,) = log.read(topic, 0, 0, 10)
    assert batch.count == 1


def test_a_process_that_died_or_another_with_its_number_is_not_alive() -> None:
    here = Holder.here()
    assert here.alive_here()
    assert not replace(here, started=here.started + 1).alive_here()
    assert not replace(here, pid=2**22 + 1).alive_here()
    assert not replace(here, host="elsewhere").alive_here()
    assert Holder.of(here.record()) == here
    assert Holder.of({"pid": 1}) is None


class Memory:
    """A sink that remembers positions."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.positions: Positions = {}

    def position(self) -> Positions:
        return self.positions

    def mark(self) -> int | None:
        return None

    def apply(self, batches: list[Batch], positions: Positions, mark: int | None) -> None:
        self.batches += batches
        self.positions = positions


def test_positions_come_to_the_end_over_what_was_aborted(log: KafkaLog, kafka_servers: str, topic: str) -> None:
    outsiders_topic(kafka_servers, topic)
    producer = Producer({"bootstrap.servers": kafka_servers, "transactional.id": topic})
    producer.init_transactions(30)
    for value, good in ((b"a", True), (b"b", False), (b"c", True), (b"d", False)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        (producer.commit_transaction if good else producer.abort_transaction)(30)
    while (end := log.bounds(topic)[0][1]) < 8:
        pass
    found = log.read(topic, 0, 0, 100)
    assert [(batch.offset, batch.count, batch.end) for batch in found] == [(0, 1, 4), (4, 1, 8)]
    (gap,) = log.read(topic, 0, 6, 100)
    assert (gap.offset, gap.count, gap.end) == (6, 0, 8)
    sink, intake = Memory(), Intake(log, [topic], {(topic, 0): 6})
    loop = Loop(log, [topic], sink)
    while loop.step():
        pass
    assert sink.positions == {(topic, 0): end}
    assert sum(batch.count for batch in sink.batches) == 2
    intake.join()
    assert [batch.count for batch in intake.take(10)] == [0]
    assert intake.positions == {(topic, 0): end}


def test_what_others_hold_open_is_not_waited_for(log: KafkaLog, kafka_servers: str, topic: str) -> None:
    outsiders_topic(kafka_servers, topic)
    producer = Producer({"bootstrap.servers": kafka_servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"a")
    producer.flush(30)
    assert (log.bounds(topic), log.read(topic, 0, 0, 10)) == ([(0, 0)], [])
    producer.commit_transaction(30)


def test_no_broker() -> None:
    with pytest.raises(LogError, match=r"Kafka at 127\.0\.0\.1:1.*see that the brokers run"):
        KafkaLog("127.0.0.1:1", split)


def test_a_setting_that_is_none(kafka_servers: str) -> None:
    with pytest.raises(LogError, match=r"no\.such\.setting"):
        KafkaLog(kafka_servers, split, {"no.such.setting": "1"})
