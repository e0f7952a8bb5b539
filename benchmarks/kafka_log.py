"""The log on Kafka: records a second appended (in transactions) and read, and milliseconds from append to visible.

Each record is an Avro record of six fields. `block` appends blocks, which are split into their records; `framed`
records that are framed already. Append to visible is one small transaction, from its begin until the record is
read by another connection. Run: `python -m benchmarks kafka_log --servers localhost:9092`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import numpy as np
import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.log.batches import Content, Framed, Record
from headrace.log.contract import Log, Topic
from headrace.log.kafka import KafkaLog
from headrace.schema.avro import encode_block, encode_framed, nullable_schema
from headrace.schema.contract import AvroSchema
from headrace.schema.splitting import Splitter

COLUMNS = {
    "sku": ColumnType("str"),
    "region": ColumnType("str"),
    "units": ColumnType("int"),
    "price": ColumnType("float"),
    "sold_at": ColumnType("int"),
    "promoted": ColumnType("bool"),
}
SCHEMA = nullable_schema("sale", COLUMNS)


class OneSchema:
    """The schema of every id."""

    def by_id(self, schema_id: int) -> AvroSchema:
        return SCHEMA


def sales(rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table(
        {
            "sku": pa.array([f"sku-{number}" for number in random.integers(0, 5_000, rows)]),
            "region": pa.array([f"region-{number}" for number in random.integers(0, 20, rows)]),
            "units": random.integers(1, 100, rows),
            "price": random.random(rows) * 100,
            "sold_at": 1_700_000_000_000 + np.arange(rows),
            "promoted": random.random(rows) < 0.1,
        }
    )


def appended(log: Log, topic: str, content: Content, transactions: int) -> float:
    """Records a second."""
    writer = log.writer("bench")
    began = time.perf_counter()
    for number in range(transactions):
        with writer.transaction() as transaction:
            transaction.append(topic, number % log.topic(topic).partitions, content)
    seconds = time.perf_counter() - began
    writer.close()
    return transactions * content.count / seconds


def read(log: Log, topic: str) -> float:
    """Records a second, over all partitions in turn."""
    bounds = log.bounds(topic)
    offsets = [first for first, _ in bounds]
    count = 0
    began = time.perf_counter()
    while any(offset < end for offset, (_, end) in zip(offsets, bounds, strict=True)):
        for partition, offset in enumerate(offsets):
            batches = log.read(topic, partition, offset, 10_000)
            count += sum(batch.count for batch in batches)
            offsets[partition] = batches[-1].end if batches else offset
    return count / (time.perf_counter() - began)


def visible(writing: Log, reading: Log, topic: str, times: int) -> tuple[list[float], list[float]]:
    """Milliseconds of small transactions, and from the begin of each until it is read."""
    began: list[float] = []
    seen: list[float] = []
    taken: list[float] = []
    offset = reading.bounds(topic)[0][1]
    stop = threading.Event()

    def follow() -> None:
        at = offset
        while len(seen) < times and not stop.is_set():
            for batch in reading.read(topic, 0, at, 1_000):
                seen.extend([time.perf_counter()] * batch.count)
                at = batch.end

    follower = threading.Thread(target=follow)
    follower.start()
    writer = writing.writer("bench")
    try:
        for _ in range(times):
            began.append(time.perf_counter())
            with writer.transaction() as transaction:
                transaction.append(topic, 0, Framed.of([Record(b"key", b"value")], 0))
                transaction.commit({(topic, 0): 1})
            taken.append((time.perf_counter() - began[-1]) * 1_000)
            time.sleep(0.01)
        follower.join(30)
    finally:
        stop.set()
        writer.close()
    return taken, [(end - begin) * 1_000 for begin, end in zip(began, seen, strict=True)]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks kafka_log", description=__doc__)
    parser.add_argument("--servers", default=os.environ.get("HEADRACE_TEST_KAFKA", "localhost:9092"))
    parser.add_argument("--transactions", type=int, default=30)
    parser.add_argument("--rows", type=int, default=10_000, help="records in one transaction")
    parser.add_argument("--times", type=int, default=200, help="small transactions for the latency")
    arguments = parser.parse_args(argv)
    table, namespace = sales(arguments.rows), f"bench-{uuid4().hex[:8]}"
    split = Splitter(OneSchema())
    open_log: Callable[[], KafkaLog] = lambda: KafkaLog(arguments.servers, split, namespace=namespace)  # noqa: E731
    log, other = open_log(), open_log()
    contents: dict[str, Content] = {
        "block": encode_block(table, 1, 0),
        "framed": encode_framed(table, SCHEMA, 1, table.column("sku"), 0),
    }
    result: dict[str, float] = {"rows": arguments.rows}
    for name, content in contents.items():
        topic = f"{namespace}.{name}"
        log.create(Topic(topic, "bench", 3))
        appended(log, topic, content, 3)
        result[f"{name}_appended_per_s"] = round(appended(log, topic, content, arguments.transactions))
        result[f"{name}_read_per_s"] = round(read(other, topic))
    topic = f"{namespace}.small"
    log.create(Topic(topic, "bench", 1))
    visible(log, other, topic, 5)
    taken, seen = visible(log, other, topic, arguments.times)
    for name, values in (("transaction_ms", taken), ("visible_ms", seen)):
        for share in (50, 95, 99):
            result[f"{name}_p{share}"] = round(statistics.quantiles(values, n=100)[share - 1], 1)
    log.close()
    other.close()
    for name, value in result.items():
        print(f"{name:24} {value:>12,}")
    print(json.dumps(result))
