"""The ledger: every alert and every retraining decision, also to do nothing, in a topic of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.log.contract import Log, Topic, Transaction
from headrace.schema.avro import decode, encode_block, nullable_schema
from headrace.schema.contract import Schemas

Kind = Literal["alert", "resolved", "no data", "train", "promote", "refuse", "skip", "failed"]

COLUMNS: Final[Mapping[str, ColumnType]] = {
    "at": ColumnType("int", nullable=True),
    "kind": ColumnType("str", nullable=True),
    "subject": ColumnType("str", nullable=True),
    "detail": ColumnType("str", nullable=True),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision. at: ms. detail: what it rests on, as JSON values."""

    at: int
    kind: Kind
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """Appends within the transaction of the role that decides; reads from the beginning."""

    def __init__(self, log: Log, schemas: Schemas, topic: str) -> None:
        self._log = log
        self._schemas = schemas
        self._topic = topic
        self._schema = nullable_schema(topic, COLUMNS)

    def create(self) -> None:
        """Makes the topic; the monitor role owns it."""
        self._log.create(Topic(self._topic, "monitor", 1))
        self._schema_id = self._schemas.register(f"{self._topic}-value", self._schema).id

    def append(self, transaction: Transaction, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        table = pa.table(
            {
                "at": pa.array([entry.at for entry in entries], pa.int64()),
                "kind": pa.array([entry.kind for entry in entries], pa.string()),
                "subject": pa.array([entry.subject for entry in entries], pa.string()),
                "detail": pa.array([json.dumps(entry.detail, sort_keys=True) for entry in entries], pa.string()),
            }
        )
        transaction.append(self._topic, 0, encode_block(table, self._schema_id, entries[-1].at))

    def read(self) -> Iterator[Entry]:
        """All entries, oldest first; none when the project never ran."""
        if not any(topic.name == self._topic for topic in self._log.topics()):
            return
        (bounds,) = self._log.bounds(self._topic)
        offset = bounds[0]
        while batches := self._log.read(self._topic, 0, offset, 10_000):
            table = decode(batches, self._schemas, self._schema, COLUMNS).table
            for row in table.select(list(COLUMNS)).to_pylist():
                yield Entry(row["at"], row["kind"], row["subject"], json.loads(row["detail"]))
            offset = batches[-1].end
