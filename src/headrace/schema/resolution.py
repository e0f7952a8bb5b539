"""From what was written with one schema to the columns of another: Avro's schema resolution.

Flat records whose fields only move, widen or take a default go column by column; everything else, and every record
that the columnar reader does not accept, is read one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.errors import SchemaError
from headrace.schema import container
from headrace.schema.compatibility import incompatibilities
from headrace.schema.contract import AvroSchema
from headrace.schema.flat import Bytes, Field, Flags, Ints, fields_of
from headrace.schema.parsed import parse
from headrace.schema.reading import read
from headrace.schema.record import RecordReader

_WIDENED: Final = {("int", "float"), ("long", "float"), ("int", "double"), ("long", "double"), ("float", "double")}
_SAME: Final = {("int", "long"), ("long", "int")}
_KINDS: Final = {
    "str": ("string",),
    "int": ("int", "long"),
    "float": ("float", "double"),
    "bool": ("boolean",),
    "time": ("long",),
}


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a column comes from: a field of the writer, or a default."""

    place: int | None
    default: Any = None


class Resolution:
    """One writer's schema against the reader's columns."""

    def __init__(self, writer: AvroSchema, reader: AvroSchema, columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self._fields = fields_of(writer) or []
        self._sources = _sources(self._fields, writer, reader, columns)
        self._reader = RecordReader(parse(writer), parse(reader), columns)

    def framed(self, body: Bytes, begins: Ints, ends: Ints) -> tuple[list[pa.Array] | None, Flags]:
        """The columns of the records at [begins, ends), and which were read; read the others one by one."""
        if self._sources is None:
            return None, np.zeros(len(begins), np.bool_)
        found, ok = read(body, begins, ends, self._fields)
        return self._shape(found, len(begins)), ok

    def blocks(self, blocks: Sequence[tuple[int, bytes]]) -> list[pa.Array] | None:
        """The columns of whole blocks; None where they are to be read record by record."""
        if self._sources is None:
            return None
        found = container.read_blocks(blocks, self._fields)
        return None if found is None else self._shape(found, sum(count for count, _ in blocks))

    def one(self, data: bytes, at: int = 0) -> tuple[tuple[Any, ...], int]:
        """The values of the record that begins at `at`, and where it ends; Refused where there is none."""
        return self._reader.one(data, at)

    def arrays(self, rows: Sequence[tuple[Any, ...]]) -> list[pa.Array]:
        """The columns of records read one by one."""
        values = list(zip(*rows, strict=True)) if rows else [()] * len(self._columns)
        kinds = self._columns.values()
        return [
            pa.array(column, _stored(kind)).cast(kind.arrow) for column, kind in zip(values, kinds, strict=True)
        ]

    def _shape(self, found: Sequence[pa.Array], rows: int) -> list[pa.Array]:
        shaped = []
        assert self._sources is not None
        for source, kind in zip(self._sources, self._columns.values(), strict=True):
            if source.place is not None:
                shaped.append(found[source.place].cast(kind.arrow, safe=False))
            else:
                value = pa.scalar(source.default, _stored(kind)).cast(kind.arrow)
                shaped.append(pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, kind.arrow))
        return shaped


def _sources(
    fields: Sequence[Field], writer: AvroSchema, reader: AvroSchema, columns: Mapping[str, ColumnType]
) -> list[_Source] | None:
    """Where each column comes from; None where records are read one by one."""
    subject = f"schema {reader.get('name')}"
    targets = {field.name: field for field in fields_of(reader) or []}
    raw = {field["name"]: field for field in reader["fields"]}
    missing = [name for name in columns if name not in raw]
    if missing:
        raise SchemaError(
            subject,
            f"it has no field {', '.join(missing)}",
            "read with a schema of all columns",
        )
    if not fields or not targets or incompatibilities(reader, writer):
        return None
    places = {field.name: place for place, field in enumerate(fields)}
    sources = []
    for name, kind in columns.items():
        target = targets[name]
        if target.type not in _KINDS[kind.kind]:
            raise SchemaError(subject, f"its field {name} is {target.type}", f"make it {kind}")
        place = next((places[known] for known in (name, *target.aliases) if known in places), None)
        if place is None:
            sources.append(_Source(None, raw[name].get("default")))
            continue
        pair = fields[place].type, target.type
        if pair[0] != pair[1] and pair not in _SAME and pair not in _WIDENED:
            return None
        sources.append(_Source(place))
    return sources


def _stored(column: ColumnType) -> pa.DataType:
    return pa.int64() if column.kind == "time" else column.arrow
