"""Dead letters read again, and repaired ones fed back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.topics import Topics
from headrace.log.batches import Batch, Framed
from headrace.log.contract import Log
from headrace.schema.avro import decode
from headrace.schema.contract import Schemas
from headrace.stream.letters import DETAIL, REASON
from headrace.stream.producer import Producer, raw_schema
from headrace.stream.repairs import DEAD_ID, HEADER

_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record. id: of the raw record. arrival: ms. value: its columns (times in ms), None where it cannot
    be decoded."""

    id: str
    reason: str
    detail: str
    arrival: int
    value: Mapping[str, Any] | None


def dead_letters(declaration: Declaration, log: Log, schemas: Schemas, stream: StreamDef) -> Iterator[DeadLetter]:
    """All dead letters of a stream that are kept, partition by partition, oldest first."""
    topic = Topics.of(declaration).dead(stream.title)
    if topic not in {known.name for known in log.topics()}:
        return
    for partition, (offset, _) in enumerate(log.bounds(topic)):
        while batches := log.read(topic, partition, offset, _LIMIT):
            yield from _letters(batches, schemas, stream)
            offset = batches[-1].end


def replay(
    producer: Producer,
    letters: Iterable[DeadLetter],
    repair: Callable[[DeadLetter], Mapping[str, Any] | None] = lambda letter: letter.value,
) -> int:
    """Feeds repaired records back to their stream; how many.

    repair: the record to send instead of a letter, None to leave it dead. It arrives now, keeps the letter's id,
    may be late, and counts once however often it is replayed. SourceError names what does not fit the stream.
    """
    rows, headers = [], []
    for letter in letters:
        row = repair(letter)
        if row is not None:
            rows.append(row)
            headers.append({HEADER: letter.id.encode()})
    producer.send_rows(rows, headers=headers)
    return len(rows)


def _letters(batches: list[Batch], schemas: Schemas, stream: StreamDef) -> Iterator[DeadLetter]:
    table = decode(batches, schemas, raw_schema(stream), stream.columns).table
    for name, kind in stream.columns.items():
        if kind.kind == "time":
            place = table.column_names.index(name)
            table = table.set_column(place, name, table.column(name).cast(pa.int64()))
    names = list(stream.columns)
    values = {(row["_partition"], row["_offset"]): {name: row[name] for name in names} for row in table.to_pylist()}
    for batch in batches:
        if not isinstance(batch.content, Framed):
            continue
        records = batch.content.records
        rows = zip(records.column("headers").to_pylist(), records.column("arrival").to_pylist(), strict=True)
        for row, (pairs, arrival) in enumerate(rows):
            found = {name: (value or b"").decode("utf-8", "replace") for name, value in pairs or ()}
            value = values.get((batch.partition, batch.offset + row))
            yield DeadLetter(found.get(DEAD_ID, ""), found.get(REASON, ""), found.get(DETAIL, ""), arrival, value)
