"""Writes flat records in Avro's binary encoding a column at a time, and compares columns with what was written.

Source: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.schema.flat import WIDTHS, Bytes, Field, Flags, Ints, spread


def write(columns: Sequence[pa.Array], fields: Sequence[Field], prefix: bytes = b"") -> tuple[Bytes, Ints]:
    """The records one after another, each behind `prefix`, and where each ends.

    columns: of the types in `ARROW`, without nulls where the field has no union.
    """
    rows = len(columns[0]) if columns else 0
    sizes = [_sizes(column, field) for column, field in zip(columns, fields, strict=True)]
    tags = sum(field.null is not None for field in fields)
    ends = np.cumsum(sum(sizes, np.full(rows, len(prefix) + tags, np.int64)))
    body = np.zeros(int(ends[-1]) if rows else 0, np.uint8)
    at = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[:rows]
    for byte in prefix:
        body[at] = byte
        at = at + 1
    for column, field, size in zip(columns, fields, sizes, strict=True):
        if field.null is not None:
            body[at] = _tags(column, field.null)
            at = at + 1
        _put(body, at, column, field.type, size)
        at = at + size
    return body, ends


def record_ends(columns: Sequence[pa.Array], fields: Sequence[Field]) -> Ints:
    """Where each record would end, one after another in their shortest encoding."""
    sizes = [_sizes(column, field) for column, field in zip(columns, fields, strict=True)]
    tags = sum(field.null is not None for field in fields)
    return np.cumsum(sum(sizes, np.full(len(columns[0]) if columns else 0, tags, np.int64)))


def agrees(blocks: Sequence[tuple[int, bytes]], columns: Sequence[pa.Array], fields: Sequence[Field]) -> bool:
    """Whether the columns, which another reader found, are all that blocks (count, body) hold.

    True only where every record stands where its shortest encoding would stand: each block ends with its last
    record, unions and booleans are as the columns say, and no number goes on beyond its shortest form. (By
    induction over the fields the reader was then never at another place.)
    """
    body = np.frombuffer(b"".join(body for _, body in blocks), np.uint8)
    rows = sum(count for count, _ in blocks)
    if any(len(column) != rows for column in columns):
        return False
    sizes = [_sizes(column, field) for column, field in zip(columns, fields, strict=True)]
    tags = sum(field.null is not None for field in fields)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sum(sizes, np.full(rows, tags, np.int64)))])
    ends = np.cumsum([len(body) for _, body in blocks])
    if not np.array_equal(bounds[np.cumsum([count for count, _ in blocks])], ends):
        return False
    at = bounds[:-1]
    for column, field, size in zip(columns, fields, sizes, strict=True):
        if field.null is not None:
            if not np.array_equal(body[at], _tags(column, field.null)):
                return False
            at = at + 1
        if not _stands(body, at, column, field.type, size):
            return False
        at = at + size
    return True


def _stands(body: Bytes, at: Ints, column: pa.Array, kind: str, sizes: Ints) -> bool:
    """Whether the values that are not null begin at their places as their shortest forms do."""
    if column.null_count:
        here = _present(column)
        column, at, sizes = column.drop_null(), at[here], sizes[here]
    if kind == "boolean":
        return np.array_equal(body[at], _numpy(column))
    if kind in WIDTHS:
        return True
    if kind in ("string", "bytes"):
        sizes = sizes - _numpy(pc.binary_length(column)).astype(np.int64)
    longest = sizes == 10  # of its last byte only one bit fits into 64
    return bool((body[at + sizes - 1] < np.where(longest, 2, 0x80)).all())


def _sizes(column: pa.Array, field: Field) -> Ints:
    """Bytes of each value without its tag; a null has none."""
    width = WIDTHS.get(field.type)
    if width is not None:
        sizes = np.full(len(column), width, np.int64)
    elif field.type in ("int", "long"):
        sizes = _varint_sizes(_zigzag(_numpy(column)))
    else:
        lengths = _numpy(pc.binary_length(column)).astype(np.int64)
        sizes = lengths + _varint_sizes(_zigzag(lengths))
    return np.where(_present(column), sizes, 0) if column.null_count else sizes


def _put(body: Bytes, at: Ints, column: pa.Array, kind: str, sizes: Ints) -> None:
    """Writes the values that are not null at their places."""
    if column.null_count:
        here = _present(column)
        column, at, sizes = column.drop_null(), at[here], sizes[here]
    if kind == "boolean":
        body[at] = _numpy(column)
    elif kind in WIDTHS:
        raw = np.ascontiguousarray(_numpy(column)).view(np.uint8).reshape(len(column), WIDTHS[kind])
        for place in range(WIDTHS[kind]):
            body[at + place] = raw[:, place]
    elif kind in ("int", "long"):
        _put_varints(body, at, _zigzag(_numpy(column)), sizes)
    else:
        lengths = _numpy(pc.binary_length(column)).astype(np.int64)
        heads = sizes - lengths
        _put_varints(body, at, _zigzag(lengths), heads)
        _, offsets, data = column.buffers()
        if data is not None and len(column):
            first, last = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
            body[spread(at + heads, lengths)] = np.frombuffer(data, np.uint8)[first:last]


def _put_varints(body: Bytes, at: Ints, raw: npt.NDArray[np.uint64], sizes: Ints) -> None:
    for place in range(int(sizes.max(initial=0))):
        rows = sizes > place
        if not rows.all():
            at, raw, sizes = at[rows], raw[rows], sizes[rows]
        more = (sizes > place + 1).astype(np.uint8) << 7
        body[at + place] = (raw & np.uint64(0x7F)).astype(np.uint8) | more
        raw = raw >> np.uint64(7)


def _varint_sizes(raw: npt.NDArray[np.uint64]) -> Ints:
    sizes = np.ones(len(raw), np.int64)
    most = int(raw.max(initial=0))
    for bits in range(7, most.bit_length(), 7):
        sizes += raw >= np.uint64(1 << bits)
    return sizes


def _zigzag(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    numbers = numbers.astype(np.int64, copy=False)
    return ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)


def _tags(column: pa.Array, null: int) -> Bytes:
    if not column.null_count:
        return np.full(len(column), 2 * (1 - null), np.uint8)
    return np.where(_present(column), 2 * (1 - null), 2 * null).astype(np.uint8)


def _present(column: pa.Array) -> Flags:
    return _numpy(column.is_valid())


def _numpy(column: pa.Array) -> npt.NDArray[Any]:
    """Values; zero where null."""
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0, pa.int64()).cast(column.type))
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
