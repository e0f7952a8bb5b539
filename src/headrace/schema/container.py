"""Avro blocks through polars: an Avro container around block bodies, and the body out of one.

Polars writes every field as a union with null (null first) and reads logical types its own way, so the header that
is written here names the primitive types only: the bytes are the same.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Final

import polars as pl
import pyarrow as pa

from headrace.schema.flat import ARROW, Field
from headrace.schema.writing import agrees

_SYNC: Final = bytes(16)
_MAGIC: Final = b"Obj\x01"
_PADDING: Final = bytes(16)
"""Behind each block's records: polars panics where a number is cut off; so it reads zeros, and `agrees` tells."""


def write_block(table: pa.Table) -> bytes:
    """The body of one block that holds the rows of a table; every field is a union with null, null first."""
    if table.num_rows == 0:
        return b""
    file = io.BytesIO()
    pl.DataFrame(table.combine_chunks()).rechunk().write_avro(file, compression="uncompressed", name="row")
    container = file.getbuffer()
    at = len(_MAGIC)
    pairs, at = _varint(container, at)
    while pairs:
        for _ in range(2 * pairs):
            size, at = _varint(container, at)
            at += size
        pairs, at = _varint(container, at)
    at += len(_SYNC)
    count, at = _varint(container, at)
    size, at = _varint(container, at)
    assert count == table.num_rows, "polars wrote more than one block"
    return bytes(container[at : at + size])


def read_blocks(blocks: Sequence[tuple[int, bytes]], fields: Sequence[Field]) -> list[pa.Array] | None:
    """The columns of blocks (count, body), one after another; None where one is not what it should be."""
    parts = [_header(fields)]
    for count, body in blocks:
        parts += [_long(count), _long(len(body) + len(_PADDING)), body, _PADDING, _SYNC]
    try:
        table = pl.read_avro(io.BytesIO(b"".join(parts))).to_arrow()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
    columns = []
    for field in fields:
        column = table.column(field.name).cast(ARROW[field.type]).combine_chunks()
        columns.append(column.chunk(0) if isinstance(column, pa.ChunkedArray) else column)
    return columns if agrees(blocks, columns, fields) else None


def _header(fields: Sequence[Field]) -> bytes:
    schema = {"type": "record", "name": "row", "fields": [_field(field) for field in fields]}
    text = json.dumps(schema).encode()
    return _MAGIC + _long(1) + _text(b"avro.schema") + _text(text) + _long(0) + _SYNC


def _field(field: Field) -> dict[str, object]:
    if field.null is None:
        return {"name": field.name, "type": field.type}
    union = ["null", field.type] if field.null == 0 else [field.type, "null"]
    return {"name": field.name, "type": union}


def _text(text: bytes) -> bytes:
    return _long(len(text)) + text


def _long(number: int) -> bytes:
    """Not negative."""
    raw = number << 1
    out = bytearray()
    while raw > 0x7F:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    out.append(raw)
    return bytes(out)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number that is not negative, and the place behind it."""
    raw = shift = 0
    while True:
        byte = data[at]
        raw |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return raw >> 1, at
