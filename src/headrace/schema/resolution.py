"""From what was written with one schema to the columns of another: Avro's schema resolution.

Flat records whose fields only move, widen or take a default go column by column; everything else, and every record
that the columnar reader does not accept, goes through fastavro one by one.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import fastavro
import numpy as np
import pyarrow as pa
from fastavro.read import SchemaResolutionError

from headrace.declare.types import ColumnType
from headrace.errors import SchemaError
from headrace.schema import container
from headrace.schema.compatibility import incompatibilities
from headrace.schema.contract import AvroSchema
from headrace.schema.flat import Bytes, Field, Flags, Ints, fields_of
from headrace.schema.reading import read

_EPOCH: Final = datetime(1970, 1, 1)
_WIDENED: Final = {("int", "float"), ("long", "float"), ("int", "double"), ("long", "double"), ("float", "double")}
_SAME: Final = {("int", "long"), ("long", "int")}
_KINDS: Final = {
    "str": ("string",),
    "int": ("int", "long"),
    "float": ("float", "double"),
    "bool": ("boolean",),
    "time": ("long",),
}


class Refused(Exception):
    """Bytes that are not a record of their schema, with the reason."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a column comes from: a field of the writer, or a default."""

    place: int | None
    default: Any = None


class Resolution:
    """One writer's schema against the reader's columns."""

    def __init__(self, writer: AvroSchema, reader: AvroSchema, columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self._writer = fastavro.parse_schema(_plain(writer))
        self._reader = fastavro.parse_schema(_plain(reader))
        if self._writer == self._reader:
            self._reader = None
        self._fields = fields_of(writer) or []
        self._sources = _sources(self._fields, writer, reader, columns)

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

    def one(self, file: io.BytesIO) -> tuple[Any, ...]:
        """The values of the record that begins where the file stands; Refused where there is none."""
        try:
            record = fastavro.schemaless_reader(file, self._writer, self._reader)
            return tuple(_value(record[name], kind) for name, kind in self._columns.items())
        except (EOFError, struct.error):
            raise Refused("it ends too early") from None
        except UnicodeDecodeError:
            raise Refused("a text is not UTF-8") from None
        except IndexError:
            cut = file.tell() == file.getbuffer().nbytes
            raise Refused("it ends too early" if cut else "a union or an enum has no such branch") from None
        except SchemaResolutionError:
            raise Refused("it does not resolve to the reader's schema") from None
        except (
            ValueError,
            TypeError,
            OverflowError,
            MemoryError,
            ArithmeticError,
            KeyError,
            AttributeError,
        ) as error:
            raise Refused(f"it is no record of its schema ({type(error).__name__})") from None

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
    """Where each column comes from; None where only fastavro can tell."""
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


def _plain(schema: Any) -> Any:
    """The schema without logical times in milliseconds: they are numbers, and as such have no limits."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("logicalType") in ("timestamp-millis", "local-timestamp-millis"):
        return schema["type"]
    return {
        name: _plain(part) if name in ("type", "fields", "items", "values") else part
        for name, part in schema.items()
    }


def _value(value: Any, column: ColumnType) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return (value - _EPOCH) // timedelta(milliseconds=1)
    match column.kind:
        case "float":
            return float(value)
        case "str":
            return value.decode() if isinstance(value, bytes) else str(value)
        case "bool":
            return bool(value)
        case _:
            return int(value)


def _stored(column: ColumnType) -> pa.DataType:
    return pa.int64() if column.kind == "time" else column.arrow
