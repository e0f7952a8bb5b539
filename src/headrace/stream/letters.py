"""Dead letters: the original bytes with the reason for which they were refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from headrace.log.batches import FRAMES, Batch, Block, Framed
from headrace.schema.avro import frames
from headrace.stream.repairs import DEAD_ID, Place, Repairs

REASON: Final = "headrace-reason"
DETAIL: Final = "headrace-detail"


class Letters:
    """Collects the dead letters of some batches of one raw topic."""

    def __init__(self, topic: str, batches: Sequence[Batch], repairs: Repairs) -> None:
        self._topic, self._batches, self._repairs = topic, batches, repairs
        self._refused: dict[Place, tuple[str, str]] = {}

    def add(self, place: Place, reason: str, detail: str) -> None:
        """Refuses the record at a place of the raw topic."""
        self._refused[place] = reason, detail

    def framed(self) -> Iterator[tuple[int, Framed]]:
        """For each partition its dead letters, in the order of the raw records."""
        if not self._refused:
            return
        records = self._originals()
        for partition in sorted({place[0] for place in self._refused}):
            places = sorted(place for place in self._refused if place[0] == partition)
            columns = [
                pa.array([records[place][0] for place in places], pa.binary()),
                pa.array([records[place][1] for place in places], pa.binary()),
                pa.array([records[place][2] for place in places], pa.int64()),
                pa.array([self._headers(place) for place in places], FRAMES.field("headers").type),
            ]
            yield partition, Framed(pa.RecordBatch.from_arrays(columns, schema=FRAMES))

    def _headers(self, place: Place) -> list[tuple[str, bytes]]:
        reason, detail = self._refused[place]
        found = str(self._repairs.ids.get(place) or f"{self._topic}/{place[0]}/{place[1]}")
        return [(DEAD_ID, found.encode()), (REASON, reason.encode()), (DETAIL, detail.encode())]

    def _originals(self) -> dict[Place, tuple[bytes | None, bytes | None, int]]:
        """Key, value and arrival of the refused records."""
        found: dict[Place, tuple[bytes | None, bytes | None, int]] = {}
        for batch in self._batches:
            refused = [offset for _, offset in self._places(batch)]
            if not refused:
                continue
            if isinstance(
                batch.content, Block
            ):  # nothing but Headrace writes blocks: these have no bytes of their own
                found |= {(batch.partition, offset): (None, None, batch.content.arrival) for offset in refused}
                continue
            rows = frames([batch]).take(pa.array([offset - batch.offset for offset in refused]))
            keys, values, arrivals = (rows.column(name).to_pylist() for name in ("key", "value", "arrival"))
            for offset, key, value, arrival in zip(refused, keys, values, arrivals, strict=True):
                found[batch.partition, offset] = key, value, arrival
        return found

    def _places(self, batch: Batch) -> list[Place]:
        return [(p, o) for p, o in self._refused if p == batch.partition and batch.offset <= o < batch.end]
