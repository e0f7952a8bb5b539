"""Reads Avro's binary encoding of flat records a column at a time, over many records at once.

The bounds of the records are given, so a bad one never touches its neighbours. What is not accepted here (a legal
but unusual encoding, or no record at all) is left to a reader of one record.

Source: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.schema.flat import ARROW, WIDTHS, Bytes, Field, Flags, Ints, spread

_PADDING: Final = 16
_PACKING: Final = [
    (np.uint64(bits), np.uint64(low), np.uint64(high))
    for bits, low, high in (
        (1, 0x007F007F007F007F, 0x7F007F007F007F00),
        (2, 0x00003FFF00003FFF, 0x3FFF00003FFF0000),
        (4, 0x000000000FFFFFFF, 0x0FFFFFFF00000000),
    )
]


def read(body: Bytes, begins: Ints, ends: Ints, fields: Sequence[Field]) -> tuple[list[pa.Array], Flags]:
    """The columns of the records at [begins, ends) of `body`, and which records were read.

    Where a record was not, its values mean nothing.
    """
    body = np.concatenate([body, np.zeros(_PADDING, np.uint8)])
    cursor = _Cursor(body, begins.copy(), ends, begins <= ends)
    columns = []
    for field in fields:
        present = cursor.tag(field.null)
        values = cursor.values(field.type, present)
        columns.append(values)
    return columns, cursor.ok & (cursor.at == ends)


class _Cursor:
    """A place in each record. A record that broke stands at its end and reads nothing more."""

    def __init__(self, body: Bytes, at: Ints, ends: Ints, ok: Flags) -> None:
        self._body = body
        self._words8 = _unaligned(body, np.dtype("<u8"))
        self._words4 = _unaligned(body, np.dtype("<u4"))
        self._ends = ends
        self.at = at
        self.ok = ok
        self._break(~ok)

    def tag(self, null: int | None) -> Flags | None:
        """Reads a union's branch; where the value is present, None for all."""
        if null is None:
            return None
        tags = self._body[self.at]
        self._advance(np.int64(1), None)
        present = tags == 2 * (1 - null)
        self._break(~(present | (tags == 2 * null)))
        here: Flags = present & self.ok
        return here

    def values(self, kind: str, present: Flags | None) -> pa.Array:
        if kind in WIDTHS:
            return self._fixed(kind, present)
        numbers, lengths, broken = self._varints()
        self._break(broken if present is None else broken & present)
        self._advance(lengths, present)
        if kind in ("int", "long"):
            return _array(numbers, present, ARROW[kind])
        return self._texts(numbers, present, ARROW[kind])

    def _fixed(self, kind: str, present: Flags | None) -> pa.Array:
        if kind == "boolean":
            found = self._body[self.at]
            wrong = found > 1
            self._break(wrong if present is None else wrong & present)
            values: npt.NDArray[Any] = found == 1
        elif kind == "float":
            values = self._words4[self.at].view("<f4")
        else:
            values = self._words8[self.at].view("<f8")
        self._advance(np.int64(WIDTHS[kind]), present)
        return _array(values, present, ARROW[kind])

    def _texts(self, sizes: Ints, present: Flags | None, kind: pa.DataType) -> pa.Array:
        sizes = np.where(self.ok if present is None else present & self.ok, sizes, 0)
        self._break((sizes < 0) | (sizes > self._ends - self.at))
        sizes = np.where(self.ok, sizes, 0)
        data = self._body[spread(self.at, sizes)]
        self.at = self.at + sizes
        if pa.types.is_string(kind):
            wrong = _not_utf8(data, sizes)
            if wrong is not None:
                data, sizes = data[~np.repeat(wrong, sizes)], np.where(wrong, 0, sizes)
                self._break(wrong)
        return _binary(data, sizes, present, kind)

    def _varints(self) -> tuple[Ints, Ints, Flags]:
        """The zigzag number at each place, its length in bytes, and where it is longer than a number can be."""
        words = self._words8[self.at]
        stops = ~words & np.uint64(0x8080808080808080)
        stop = stops & (~stops + np.uint64(1))
        mask = stop | (stop - np.uint64(1))
        lengths = (np.bitwise_count(mask).astype(np.int64) + 1) >> 3
        raw = _packed(words & mask)
        broken = np.zeros(len(raw), np.bool_)
        rows = np.flatnonzero(stops == 0)
        if rows.size:  # nine or ten bytes
            ninth, tenth = (self._body[self.at[rows] + place].astype(np.uint64) for place in (8, 9))
            more = ninth >= 128
            raw[rows] |= (ninth & np.uint64(0x7F)) << np.uint64(56)
            raw[rows] |= np.where(more, tenth, 0).astype(np.uint64) << np.uint64(63)
            lengths[rows] = np.where(more, 10, 9)
            broken[rows] = more & (tenth > 1)
        numbers = (raw >> np.uint64(1)).view(np.int64) ^ -(raw & np.uint64(1)).view(np.int64)
        return numbers, lengths, broken

    def _advance(self, by: Any, present: Flags | None) -> None:
        self.at = self.at + (by if present is None else np.where(present, by, 0))
        self._break(self.at > self._ends)

    def _break(self, broken: Flags) -> None:
        if broken.any():
            self.ok = self.ok & ~broken
            self.at = np.where(self.ok, self.at, self._ends)


def _packed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The low seven bits of each of eight bytes, joined."""
    for bits, low, high in _PACKING:
        words = (words & low) | (words & high) >> bits
    return words


def _array(values: npt.NDArray[Any], present: Flags | None, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind, mask=None if present is None else ~present)


def _binary(data: Bytes, sizes: Ints, present: Flags | None, kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]).astype(np.int32)
    valid = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(sizes), buffers)


def _not_utf8(data: Bytes, sizes: Ints) -> Flags | None:
    """Which texts are not UTF-8; None where all are."""
    try:
        _binary(data, sizes, None, pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        texts = _binary(data, sizes, None, pa.binary()).to_pylist()
        return np.array([not _decodes(text) for text in texts], np.bool_)
    return None


def _decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unaligned(body: Bytes, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """The word that begins at each byte."""
    count = len(body) - kind.itemsize + 1
    return np.ndarray((count,), kind, buffer=body.data, strides=(1,))
