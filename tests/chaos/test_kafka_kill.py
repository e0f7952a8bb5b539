"""A broker of three dies while transactions are written and positions are asked: nothing is lost or doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from headrace.log.batches import Block, Framed, Record
from headrace.log.contract import Topic
from headrace.log.kafka import KafkaLog

pytestmark = [pytest.mark.timeout(600), pytest.mark.faults]


def split(block: Block) -> pa.Array:
    raise AssertionError("no blocks here")


@pytest.fixture
def nodes(stack: Any) -> Iterator[Any]:
    """Three brokers that may be killed."""
    stack.start("kafka")
    yield stack
    stack.start("kafka")


def test_a_broker_killed_while_transactions_are_written(nodes: Any) -> None:
    unique = uuid4().hex[:12]
    log = KafkaLog(nodes.address("kafka"), split, namespace=unique)
    topic = f"t-{unique}"
    log.create(Topic(topic, "r", 3))
    killed = threading.Event()

    def kill() -> None:
        nodes.kill("kafka-2")
        killed.set()

    writer = log.writer("r")
    killer = threading.Thread(target=kill)
    done = after = 0
    while after < 20:
        with writer.transaction() as transaction:
            for partition in range(3):
                values = [Record(None, b"%d" % (done * 10 + row)) for row in range(10)]
                transaction.append(topic, partition, Framed.of(values, 5))
            transaction.commit({(topic, 0): done})
            transaction.keep("done", b"%d" % done)
        done += 1
        if done == 10:
            killer.start()
        after += killed.is_set()
    killer.join()
    writer.close()
    for partition in range(3):
        found: list[int] = []
        at = 0
        while batches := log.read(topic, partition, at, 1_000):
            for batch in batches:
                assert isinstance(batch.content, Framed)
                found += [int(value) for value in batch.content.records.column("value").to_pylist()]
            at = batches[-1].end
        assert found == list(range(done * 10))
    assert log.committed("r").positions == {(topic, 0): done - 1}
    log.close()


def test_positions_are_told_while_their_brokers_die_and_come_back(nodes: Any) -> None:
    """Each node coordinates some of the groups; a node that comes back is asked before it knows that it does."""
    unique = uuid4().hex[:12]
    log = KafkaLog(nodes.address("kafka"), split, namespace=unique)
    topic = f"t-{unique}"
    roles = [f"r{number}" for number in range(12)]
    log.create(Topic(topic, "producers", 1))
    for number, role in enumerate(roles):
        writer = log.writer(role)
        with writer.transaction() as transaction:
            transaction.commit({(topic, 0): number})
        writer.close()
    stop = threading.Event()
    wrong: list[Any] = []
    asked = [0]

    def ask() -> None:
        while not stop.is_set():
            found = [log.committed(role).positions for role in roles]
            asked[0] += 1
            wrong.extend(each for number, each in enumerate(found) if each != {(topic, 0): number})

    asker = threading.Thread(target=ask)
    asker.start()
    for name in ("kafka-1", "kafka-2", "kafka-3"):
        nodes.kill(name)
        nodes.start(name)
    stop.set()
    asker.join()
    assert (wrong, asked[0] > 3) == ([], True)
    log.close()
