"""How far a stream was enriched, by what came of it: for a job whose state is too old to go on from.

Transactions that were open for longer than Kafka allows are gone, and with them what a checkpoint counts as
written. The committed topics alone tell what is there. A job handles each raw partition in order and writes
enriched records and dead letters in one transaction, so those that are there come from a first part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.topics import Topics
from headrace.errors import OffsetOutOfRange
from headrace.log.batches import Batch, Framed, Partition
from headrace.log.contract import Log
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.layouts import enriched_columns
from headrace.stream.repairs import DEAD_ID, HEADER, Id

_TAIL: Final = 20_000
"""Records looked at from the end of a partition at first; ten times as many each time that it is not enough."""
Came = tuple[int, int]
"""What came of a record: its offset, or its dead letter's, and its arrival (ms)."""


class Outcome:
    """What stands on the enriched and the dead topic of one stream."""

    def __init__(self, declaration: Declaration, stream: StreamDef, log: Log, schemas: Schemas) -> None:
        topics = Topics.of(declaration)
        self._stream, self._log, self._schemas = stream, log, schemas
        self._enriched, self._dead = topics.enriched(stream.title), topics.dead(stream.title)
        self._columns = {name: enriched_columns(stream)[name] for name in ("_arrival", "_partition", "_offset")}

    def ends(self) -> dict[Partition, int]:
        """For each partition of the raw topic the offset of the first record of which nothing came."""
        raw = self._stream.topic
        return {(raw, number): self._end(number, *bounds) for number, bounds in enumerate(self._log.bounds(raw))}

    def _end(self, partition: int, first: int, last: int) -> int:
        came: set[Came] = set()
        size = _TAIL
        while True:
            came = {each for topic in (self._enriched, self._dead) for each in self._came(topic, partition, size)}
            whole = all(size >= end - begin for begin, end in self._bounds(partition))
            if whole or any(first <= offset < last for offset, _ in came):
                break
            size *= 10
        return self._first_missing(partition, first, last, came)

    def _bounds(self, partition: int) -> list[tuple[int, int]]:
        return [self._log.bounds(topic)[partition] for topic in (self._enriched, self._dead)]

    def _came(self, topic: str, partition: int, size: int) -> Iterator[Came]:
        """What the last records of a partition came from."""
        first, last = self._log.bounds(topic)[partition]
        offset = max(first, last - size)
        while batches := self._log.read(topic, partition, offset, size):
            yield from self._letters(batches) if topic == self._dead else self._records(batches)
            offset = batches[-1].end

    def _records(self, batches: list[Batch]) -> Iterator[Came]:
        schema = nullable_schema(self._enriched, enriched_columns(self._stream))
        found = decode(batches, self._schemas, schema, self._columns).table
        yield from zip(found.column("_offset").to_pylist(), found.column("_arrival").to_pylist(), strict=True)

    def _letters(self, batches: list[Batch]) -> Iterator[Came]:
        for batch in batches:
            if isinstance(batch.content, Framed):
                for row in batch.content.records.select(["arrival", "headers"]).to_pylist():
                    found = Id.parse(self._stream.topic, dict(row["headers"])[DEAD_ID])
                    if found is not None:
                        yield found.offset, row["arrival"]

    def _first_missing(self, partition: int, first: int, last: int, came: set[Came]) -> int:
        """Goes through the raw records from the newest on that surely came, until one has not come."""
        offsets = {offset for offset, _ in came}
        position = self._surely(partition, first, came)
        while batches := self._log.read(self._stream.topic, partition, position, 1_000):
            for batch in batches:
                if not isinstance(batch.content, Framed):
                    continue
                for row, record in enumerate(batch.content.records.select(["arrival", "headers"]).to_pylist()):
                    offset = batch.offset + row
                    if offset < position:
                        continue
                    header = dict(record["headers"] or ()).get(HEADER)
                    repaired = None if header is None else Id.parse(self._stream.topic, header)
                    there = (repaired.offset, record["arrival"]) in came if repaired else offset in offsets
                    if not there:
                        return offset
            position = batches[-1].end
        return last

    def _surely(self, partition: int, first: int, came: set[Came]) -> int:
        """An offset before which everything came: that of the newest record which came under its own offset."""
        for offset, arrival in sorted(came, reverse=True):
            if offset >= first and self._is_at(partition, offset, arrival):
                return offset
        return first

    def _is_at(self, partition: int, offset: int, arrival: int) -> bool:
        """Whether the raw record at an offset arrived then; else a later one repaired its letter."""
        try:
            batches = self._log.read(self._stream.topic, partition, offset, 1)
        except OffsetOutOfRange:
            return False
        for batch in batches[:1]:
            if isinstance(batch.content, Framed) and batch.offset <= offset < batch.offset + batch.count:
                return bool(batch.content.records.column("arrival")[offset - batch.offset].as_py() == arrival)
        return False
