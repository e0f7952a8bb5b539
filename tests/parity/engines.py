"""Both engines over the same declaration, each on its own log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.parity.inputs import NEW, OLD, PARTITIONS, Raw

from headrace.declare.declaration import Declaration
from headrace.log.batches import Framed, Record
from headrace.log.contract import Log, Topic
from headrace.schema.contract import Schemas
from headrace.stream.tables import Tables

PRODUCERS = "producers"


@dataclass
class Engine:
    """A log, its schemas, and the steps of the roles that make something of the raw topic."""

    declaration: Declaration
    log: Log
    schemas: Schemas
    enrich: Any
    tile: Any
    ids: dict[int, int] = field(default_factory=dict)

    def until(self, done: Callable[[], bool], seconds: float, *roles: Any) -> None:
        """Steps roles until something holds."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"not within {seconds:.0f} s"
            if sum(role.step() for role in roles) == 0:
                time.sleep(0.05)


def load_tables(declaration: Declaration, log: Log, schemas: Schemas, root: Path) -> None:
    tables = Tables(declaration, log, schemas, lambda: 1, root)
    tables.step()
    assert not tables.failures, tables.failures
    tables.close()


def prepare(log: Log, schemas: Schemas, topic: str) -> dict[int, int]:
    """The raw topic with both versions of its schema; their ids."""
    log.create(Topic(topic, PRODUCERS, PARTITIONS))
    subject = f"{topic}-value"
    return {1: schemas.register(subject, OLD).id, 2: schemas.register(subject, NEW).id}


def produce(log: Log, topic: str, records: Sequence[Raw], ids: dict[int, int]) -> None:
    with log.turn(PRODUCERS) as writer, writer.transaction() as transaction:
        for partition in range(PARTITIONS):
            mine = [
                Record(raw.key, raw.value(ids), raw.headers, raw.arrival)
                for raw in records
                if raw.partition == partition
            ]
            if mine:
                transaction.append(topic, partition, Framed.of(mine, 0))
