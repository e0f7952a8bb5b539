"""From Arrow tables and rows to what stands on the log."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.errors import SchemaError
from headrace.log.batches import FRAMES, Block, Framed
from headrace.schema.container import write_block
from headrace.schema.contract import AvroSchema
from headrace.schema.flat import ARROW, Field, fields_of
from headrace.schema.writing import write

PREFIX: Final = struct.Struct(">BI")
"""Confluent's wire format: a zero byte and the schema's id stand before the record."""


def nullable_schema(name: str, columns: Mapping[str, ColumnType]) -> AvroSchema:
    """The schema of Headrace's own records: every field may be null, null first, and null is its default.

    name: of the topic; what Avro does not allow in a name becomes '_'.

    >>> nullable_schema("sales-enriched", {"units": ColumnType("int")})["fields"]
    [{'name': 'units', 'type': ['null', 'long'], 'default': None}]
    """
    fields = [
        {"name": column, "type": ColumnType(kind.kind, nullable=True).avro, "default": None}
        for column, kind in columns.items()
    ]
    return {"type": "record", "name": re.sub(r"[^A-Za-z0-9_.]", "_", name), "fields": fields}


def frame(schema_id: int, payload: bytes) -> bytes:
    """Confluent's wire format.

    >>> frame(7, b"x")
    b'\\x00\\x00\\x00\\x00\\x07x'
    """
    return PREFIX.pack(0, schema_id) + payload


def encode_records(rows: Sequence[Mapping[str, Any]], schema: AvroSchema, schema_id: int) -> list[bytes]:
    """Framed records from rows, by fastavro: for any schema. SchemaError where a row does not fit."""
    parsed = fastavro.parse_schema(schema)
    framed = []
    for row in rows:
        file = io.BytesIO()
        try:
            fastavro.schemaless_writer(file, parsed, row)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error) as error:
            raise SchemaError(
                f"schema {schema.get('name')}", f"{dict(row)!r} does not fit: {error}", "correct the record"
            ) from error
        framed.append(frame(schema_id, file.getvalue()))
    return framed


def encode_block(table: pa.Table, schema_id: int, arrival: int) -> Block:
    """One block of a table's rows, written with the `nullable_schema` of its columns in their order.

    >>> block = encode_block(pa.table({"units": [1, None]}), schema_id=7, arrival=0)
    >>> block.count, block.body
    (2, b'\\x02\\x02\\x00')
    """
    wire = pa.table([_wire(name, table.column(name)) for name in table.column_names], table.column_names)
    return Block(schema_id, table.num_rows, write_block(wire), arrival)


def encode_framed(
    table: pa.Table,
    schema: AvroSchema,
    schema_id: int,
    keys: pa.Array | None,
    arrivals: pa.Array | npt.NDArray[np.int64] | int,
) -> Framed:
    """Framed records of a table's rows; its columns are the schema's fields by name.

    keys: binary or string, one a row. arrivals: ms, one a row or one for all. SchemaError where a column is missing
    or a required field is null.

    >>> sale = {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "long"}]}
    >>> encode_framed(pa.table({"units": [-1]}), sale, 7, None, 0).records.column("value")[0].as_py()
    b'\\x00\\x00\\x00\\x00\\x07\\x01'
    """
    rows = table.num_rows
    fields = fields_of(schema)
    if fields is None:
        values = pa.array(encode_records(table.to_pylist(), schema, schema_id), pa.binary())
    else:
        columns = [_field(table, field, schema) for field in fields]
        body, ends = write(columns, fields, prefix=PREFIX.pack(0, schema_id))
        offsets = np.concatenate([np.zeros(1, np.int64), ends]).astype(np.int32)
        values = pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(body)])
    if isinstance(keys, pa.ChunkedArray):
        keys = keys.combine_chunks()
    columns = [
        pa.nulls(rows, pa.binary()) if keys is None else keys.cast(pa.binary()),
        values,
        pa.array(np.full(rows, arrivals, np.int64) if isinstance(arrivals, int) else arrivals, pa.int64()),
        pa.nulls(rows, FRAMES.field("headers").type),
    ]
    return Framed(pa.RecordBatch.from_arrays(columns, schema=FRAMES))


def _field(table: pa.Table, field: Field, schema: AvroSchema) -> pa.Array:
    subject = f"schema {schema.get('name')}"
    if field.name not in table.column_names:
        raise SchemaError(subject, f"the table has no column {field.name}", "give it every field of the schema")
    column = _wire(field.name, table.column(field.name))
    column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if field.null is None and column.null_count:
        raise SchemaError(
            subject, f"the field {field.name} is required and null in the table", "fill it, or widen it"
        )
    try:
        return column.cast(ARROW[field.type])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(subject, f"the field {field.name} is {field.type}: {error}", "cast the column") from error


def _wire(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in one of the types that a `ColumnType` has in Avro."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ms", kind.tz)).cast(pa.int64())
    for belongs, wire in _WIRE:
        if belongs(kind):
            return column.cast(wire)
    raise SchemaError(f"column {name}", f"it is {kind}", "use text, integers, floats, booleans or times")


_WIRE: Final = (
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_floating, pa.float64()),
    (pa.types.is_boolean, pa.bool_()),
    (pa.types.is_string, pa.string()),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
    (pa.types.is_binary, pa.binary()),
)
