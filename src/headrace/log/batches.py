"""What travels on the log: batches of consecutive records of one partition.

A batch is framed records (keys, values, arrivals, headers; what comes from outside always is), one Avro
block (what Headrace's own roles write), or a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

FRAMES: Final = pa.schema(
    [
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("arrival", pa.int64(), nullable=False),
        pa.field("headers", pa.map_(pa.string(), pa.binary())),
    ]
)

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""

Positions = Mapping[Partition, int]
"""For each partition the offset of the next record to read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as a producer gives it. A value of None is a tombstone.

    arrival: ms; None is the log's append time. Only trusted producers (replay) set it.
    """

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    arrival: int | None = None


@dataclass(frozen=True, slots=True)
class Framed:
    """Records one by one: a record batch of schema `FRAMES`. Values carry Confluent's wire format."""

    records: pa.RecordBatch

    @property
    def count(self) -> int:
        return int(self.records.num_rows)

    @classmethod
    def of(cls, records: Iterable[Record], now: int) -> Framed:
        """Frames of records; those without an arrival arrive `now` (ms)."""
        rows = list(records)
        columns = [
            pa.array([row.key for row in rows], pa.binary()),
            pa.array([row.value for row in rows], pa.binary()),
            pa.array([now if row.arrival is None else row.arrival for row in rows], pa.int64()),
            pa.array([list(row.headers.items()) or None for row in rows], FRAMES.field("headers").type),
        ]
        return cls(pa.RecordBatch.from_arrays(columns, schema=FRAMES))


@dataclass(frozen=True, slots=True)
class Block:
    """The body of one Avro block: `count` records, back to back, written with schema `schema_id`."""

    schema_id: int
    count: int
    body: bytes
    arrival: int
    """The append time, ms. (What a record counts as its arrival is a column of the record itself.)"""


@dataclass(frozen=True, slots=True)
class Mark:
    """Under replay: every record that arrived before `time` (ms) stands before this mark. Takes one offset."""

    time: int

    @property
    def count(self) -> int:
        return 1


Content = Framed | Block | Mark


@dataclass(frozen=True, slots=True)
class Batch:
    """Content at its place: the offset is that of its first record, and the others follow it one by one.

    gap: offsets behind the last record that hold none (of what a log wrote for itself, or compacted).
    """

    topic: str
    partition: int
    offset: int
    content: Content
    gap: int = 0

    @property
    def count(self) -> int:
        return self.content.count

    @property
    def newest(self) -> int | None:
        """The newest arrival in it, ms, None where it has no record; by this it expires."""
        match self.content:
            case Framed(records):
                found: int | None = pc.max(records.column("arrival")).as_py()
                return found
            case Block():
                return self.content.arrival
            case Mark(time):
                return time

    @property
    def end(self) -> int:
        """The offset to read on from: after its last record and the gap behind that."""
        return self.offset + self.content.count + self.gap
