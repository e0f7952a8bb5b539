"""A broker of three dies while transactions are written: nothing is lost, nothing is doubled."""

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

pytestmark = pytest.mark.faults


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
