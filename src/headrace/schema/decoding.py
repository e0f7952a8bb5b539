"""From what stands on the log to Arrow tables; one bad record never spoils another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.errors import UnknownSchema
from headrace.log.batches import FRAMES, Batch, Block, Framed, Positions
from headrace.schema.contract import AvroSchema, Schemas
from headrace.schema.encoding import PREFIX
from headrace.schema.flat import Bytes, Flags, Ints
from headrace.schema.record import Refused
from headrace.schema.resolution import Resolution

_PLACE: Final = ("_partition", "_offset", "_arrival")
UNDECODABLE: Final = pa.schema(
    [
        pa.field("_partition", pa.int64()),
        pa.field("_offset", pa.int64()),
        pa.field("_arrival", pa.int64()),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What batches of one topic hold.

    table: the columns asked for, in order, then the place in the log: `_partition`, `_offset` and `_arrival`
    (int64; of the frame, or the append time of the block). Where one of these is a column of the data itself, the
    data keep the three names, and the place is in `_log_partition`, `_log_offset` and `_log_arrival`. undecodable:
    of schema `UNDECODABLE`; a value is null for a tombstone, and in a broken block for all but the first record
    lost, which has the rest of the block.
    """

    table: pa.Table
    undecodable: pa.Table


def decode(
    batches: Sequence[Batch],
    schemas: Schemas,
    reader: AvroSchema,
    columns: Mapping[str, ColumnType],
    since: Positions | None = None,
) -> Decoded:
    """The records of batches of one topic as columns, in the order of the batches; marks are skipped.

    since: records before these offsets are left out (a batch may begin before the position that was asked for).
    What cannot be read is undecodable, with a reason that depends on nothing but its bytes. An error of the
    registry other than UnknownSchema is raised.
    """
    return _Decoder(batches, schemas, reader, columns).decode(since)


def frames(batches: Sequence[Batch]) -> pa.Table:
    """The framed records as they came: key, value, arrival, `_partition` and `_offset`; blocks are left out."""
    framed = [batch for batch in batches if isinstance(batch.content, Framed)]
    records = [batch.content.records for batch in framed if isinstance(batch.content, Framed)]
    table = pa.Table.from_batches(records, FRAMES).drop_columns(["headers"])
    partitions, offsets = _places(framed)
    return table.append_column("_partition", pa.array(partitions)).append_column("_offset", pa.array(offsets))


class _Decoder:
    """One call of `decode`: each record has a row, counted over all batches."""

    def __init__(
        self, batches: Sequence[Batch], schemas: Schemas, reader: AvroSchema, columns: Mapping[str, ColumnType]
    ) -> None:
        self._batches = [batch for batch in batches if isinstance(batch.content, Framed | Block)]
        self._schemas, self._reader, self._columns = schemas, reader, columns
        self._partitions, self._offsets = _places(self._batches)
        self._topics = {batch.topic for batch in self._batches}
        self._arrivals = np.concatenate([np.zeros(0, np.int64), *(_arrivals(batch) for batch in self._batches)])
        self._resolutions: dict[int, Resolution] = {}
        self._rows: list[Ints] = []
        self._parts: list[list[pa.Array]] = []
        self._bad: list[tuple[int, bytes | None, bytes | None, str]] = []

    def decode(self, since: Positions | None) -> Decoded:
        blocks: dict[int, list[tuple[int, Block]]] = defaultdict(list)
        framed: list[tuple[int, pa.RecordBatch]] = []
        row = 0
        for batch in self._batches:
            match batch.content:
                case Block() as block:
                    blocks[block.schema_id].append((row, block))
                case Framed(records):
                    framed.append((row, records))
            row += batch.count
        for schema_id, found in blocks.items():
            self._blocks(schema_id, found)
        if framed:
            self._framed(framed)
        return self._gather(self._wanted(since))

    def _resolution(self, schema_id: int) -> Resolution:
        if schema_id not in self._resolutions:
            writer = self._schemas.by_id(schema_id)
            self._resolutions[schema_id] = Resolution(writer, self._reader, self._columns)
        return self._resolutions[schema_id]

    def _blocks(self, schema_id: int, blocks: list[tuple[int, Block]]) -> None:
        """Blocks of one schema: all at once, else each alone, else record by record."""
        try:
            resolution = self._resolution(schema_id)
        except UnknownSchema:
            for row, block in blocks:
                self._lost(row, block, 0, block.body, f"no schema has the id {schema_id}")
            return
        columns = resolution.blocks([(block.count, block.body) for _, block in blocks])
        if columns is not None:
            rows = [np.arange(row, row + block.count) for row, block in blocks]
            self._add(np.concatenate(rows), columns)
        elif len(blocks) > 1:
            for one in blocks:
                self._blocks(schema_id, [one])
        else:
            self._split(*blocks[0], resolution)

    def _split(self, row: int, block: Block, resolution: Resolution) -> None:
        read: list[tuple[Any, ...]] = []
        end = 0
        for place in range(block.count):
            begin = end
            try:
                record, end = resolution.one(block.body, begin)
                if place == block.count - 1 and end < len(block.body):
                    raise Refused("bytes are left behind the last record of its block")
            except Refused as refused:
                self._lost(row, block, place, block.body[begin:], f"{refused}")
                break
            read.append(record)
        self._add(np.arange(row, row + len(read)), resolution.arrays(read))

    def _lost(self, row: int, block: Block, first: int, rest: bytes, reason: str) -> None:
        """The records of a block from `first` on."""
        self._bad.append((row + first, None, rest, reason))
        for place in range(first + 1, block.count):
            self._bad.append((row + place, None, None, f"the block is broken before it: {reason}"))

    def _framed(self, batches: list[tuple[int, pa.RecordBatch]]) -> None:
        rows = np.concatenate([np.arange(row, row + records.num_rows) for row, records in batches])
        records = pa.Table.from_batches([records for _, records in batches], FRAMES)
        keys, values = (_one(records.column(name)) for name in ("key", "value"))
        body, begins, ends = _bounds(values)
        sizes = ends - begins
        whole = np.flatnonzero(sizes >= PREFIX.size)
        heads = np.stack([body[begins[whole] + place] for place in range(PREFIX.size)]).astype(np.int64)
        ids = np.full(len(rows), -1, np.int64)
        ids[whole] = np.where(heads[0] == 0, heads[1] << 24 | heads[2] << 16 | heads[3] << 8 | heads[4], -1)

        def refuse(place: int, reason: str) -> None:
            self._bad.append((int(rows[place]), keys[place].as_py(), values[place].as_py(), reason))

        for place in np.flatnonzero(ids < 0).tolist():
            value = values[place].as_py()
            refuse(place, "it has no value (a tombstone)" if value is None else "it has no schema id before it")
        for schema_id in np.unique(ids[ids >= 0]).tolist():
            places = np.flatnonzero(ids == schema_id)
            try:
                resolution = self._resolution(schema_id)
            except UnknownSchema:
                for place in places.tolist():
                    refuse(place, f"no schema has the id {schema_id}")
                continue
            columns, ok = resolution.framed(body, begins[places] + PREFIX.size, ends[places])
            if columns is not None:
                taken = columns if ok.all() else [column.filter(pa.array(ok)) for column in columns]
                self._add(rows[places[ok]], taken)
            read, good = [], []
            for place in places[~ok].tolist():
                payload = body[begins[place] + PREFIX.size : ends[place]].tobytes()
                try:
                    record, end = resolution.one(payload)
                    if end < len(payload):
                        raise Refused("bytes are left behind it")
                except Refused as refused:
                    refuse(place, str(refused))
                else:
                    read.append(record)
                    good.append(place)
            self._add(rows[good], resolution.arrays(read))

    def _add(self, rows: Ints, columns: list[pa.Array]) -> None:
        if len(rows):
            self._rows.append(rows)
            self._parts.append(columns)

    def _wanted(self, since: Positions | None) -> Flags:
        wanted = np.ones(len(self._offsets), np.bool_)
        for (topic, partition), offset in (since or {}).items():
            if topic in self._topics:
                wanted &= (self._partitions != partition) | (self._offsets >= offset)
        return wanted

    def _gather(self, wanted: Flags) -> Decoded:
        names = list(self._columns)
        schema = pa.schema([pa.field(name, kind.arrow) for name, kind in self._columns.items()])
        table = pa.Table.from_batches([pa.RecordBatch.from_arrays(part, names) for part in self._parts], schema)
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        prefix = "_log" if any(name in self._columns for name in _PLACE) else ""
        for name, values in zip(_PLACE, (self._partitions, self._offsets, self._arrivals), strict=True):
            table = table.append_column(prefix + name, pa.array(values[rows]))
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows)
            table, rows = table.take(pa.array(order)), rows[order]
        if not wanted[rows].all():
            table = table.filter(pa.array(wanted[rows]))
        bad = sorted((row for row in self._bad if wanted[row[0]]), key=lambda row: row[0])
        places = np.array([row[0] for row in bad], np.int64)
        place = [self._partitions[places], self._offsets[places], self._arrivals[places]]
        rest = list(zip(*(row[1:] for row in bad), strict=True)) or [(), (), ()]
        undecodable = pa.table([*(pa.array(part) for part in place), *(list(part) for part in rest)], UNDECODABLE)
        return Decoded(table, undecodable)


def _places(batches: Sequence[Batch]) -> tuple[Ints, Ints]:
    """The partition and the offset of each record."""
    none = np.zeros(0, np.int64)
    partitions = [np.full(batch.count, batch.partition, np.int64) for batch in batches]
    offsets = [batch.offset + np.arange(batch.count, dtype=np.int64) for batch in batches]
    return np.concatenate([none, *partitions]), np.concatenate([none, *offsets])


def _arrivals(batch: Batch) -> Ints:
    if isinstance(batch.content, Framed):
        arrivals: Ints = batch.content.records.column("arrival").to_numpy()
        return arrivals
    assert isinstance(batch.content, Block)
    return np.full(batch.count, batch.content.arrival, np.int64)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _bounds(values: pa.Array) -> tuple[Bytes, Ints, Ints]:
    """The bytes of a binary array and where each value begins and ends; a null is empty."""
    _, offsets, data = values.buffers()
    at = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1].astype(np.int64)
    begins, ends = at[:-1], at[1:]
    if values.null_count:
        ends = np.where(values.is_valid().to_numpy(zero_copy_only=False), ends, begins)
    return np.frombuffer(data or b"", np.uint8), begins, ends
