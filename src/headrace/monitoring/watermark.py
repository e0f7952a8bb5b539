"""The watermark of a live project: up to when all that arrived is in the archive, so that labels are final.

Under replay the mark that the archive has passed says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow.compute as pc

from headrace.archive.columns import Columns, archived
from headrace.declare.declaration import Declaration
from headrace.log.batches import Batch, Framed, Mark
from headrace.log.contract import Log
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas

IN_FLIGHT: Final = 5_000
"""ms that are allowed between a record's arrival and its commit, before which nobody can see it."""


def watermark(declaration: Declaration, log: Log, schemas: Schemas, now: int) -> int:
    """The instant (ms) before which all that arrived is in the archive.

    now: the clock, read before the call. It is the earliest arrival of what enrich has not read or archive not
    archived, partition by partition; where nothing waits, `now` but for what is in flight.
    """
    raw: dict[str, Columns] = {stream.topic: {} for stream in declaration.streams.values()}
    # In this order: what enrich had read by the first look is in the enriched topics at the second.
    waiting = [*_waiting(log, schemas, "enrich", raw), *_waiting(log, schemas, "archive", archived(declaration))]
    return min([now - IN_FLIGHT, *waiting])


def _waiting(log: Log, schemas: Schemas, role: str, topics: Mapping[str, Columns]) -> Iterator[int]:
    """For each partition that a role is behind in, the earliest arrival (ms) in the batch that it reads next."""
    positions = log.committed(role).positions
    there = {topic.name for topic in log.topics()}
    for topic in topics:
        for partition, (first, last) in enumerate(log.bounds(topic) if topic in there else []):
            position = max(first, positions.get((topic, partition), first))
            if position < last:
                batch = log.read(topic, partition, position, 1)[0]
                if batch.count:  # else only a gap is left
                    yield _earliest(batch, position, schemas, topics[topic])


def _earliest(batch: Batch, position: int, schemas: Schemas, columns: Columns) -> int:
    if isinstance(batch.content, Mark):
        return batch.content.time
    if isinstance(batch.content, Framed):
        arrivals = batch.content.records.column("arrival").slice(max(0, position - batch.offset))
    else:
        since = {(batch.topic, batch.partition): position}
        found = decode([batch], schemas, nullable_schema(batch.topic, columns), columns, since)
        arrivals = found.table.column("_arrival")
    earliest: int | None = pc.min(arrivals).as_py()
    # What cannot be decoded stops the archive, so nothing after it is known.
    return 0 if earliest is None else earliest
