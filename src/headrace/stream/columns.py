"""From what a user hands over to columns of declared types: strict, and exact about what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.keys import key_text
from headrace.declare.types import ColumnType, Kind

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT: Final = range(-(2**63), 2**63)


class Misfit(Exception):
    """A value that is not of its column's type: in which row (from 0), and what it is."""

    def __init__(self, row: int, cause: str) -> None:
        super().__init__(row, cause)
        self.row = row
        self.cause = cause


def column_of(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    """Python values as a column. Times are ms, datetimes with a zone or their text; whole ms are kept of them.

    >>> column_of(["1970-01-01T00:00:01Z"], ColumnType("time")).cast(pa.int64()).to_pylist()
    [1000]
    """
    convert = _CONVERT[kind.kind]
    found: list[Any] = []
    for row, value in enumerate(values):
        if value is None:
            if not kind.nullable:
                raise Misfit(row, f"it is null, and the column is {kind}")
            found.append(None)
            continue
        converted = convert(value)
        if converted is None:
            raise Misfit(row, f"it is {value!r}, and the column is {kind}")
        found.append(converted)
    return pa.array(found, pa.int64()).cast(kind.arrow) if kind.kind == "time" else pa.array(found, kind.arrow)


def column_from(column: pa.ChunkedArray | pa.Array, kind: ColumnType) -> pa.Array:
    """An Arrow column in the declared type; text is never read as a number, nor a number as text."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if not kind.nullable and array.null_count:
        row = pc.index(array.is_null(), True).as_py()
        raise Misfit(row, f"it is null, and the column is {kind}")
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), kind.arrow)
    if not any(belongs(array.type) for belongs in _FAMILY[kind.kind]):
        raise Misfit(0, f"its type is {array.type}, and the column is {kind}")
    if kind.kind == "time":
        return array.cast(pa.timestamp(array.type.unit)).cast(pa.timestamp("ms"), safe=False)
    try:
        return array.cast(kind.arrow)
    except pa.ArrowInvalid as error:
        raise Misfit(_first_misfit(array, kind), str(error)) from error


def keys_of(table: pa.Table, names: Sequence[str]) -> pa.Array:
    """The key text of each row (string; null where a key column is null), as `declare.keys` defines it."""
    columns = [table.column(name) for name in names]
    if not all(
        pa.types.is_string(c.type) or pa.types.is_integer(c.type) or pa.types.is_boolean(c.type) for c in columns
    ):
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([key_text(row) for row in rows], pa.string())
    parts = []
    for column in columns:
        text = column.cast(pa.string())
        if pa.types.is_string(column.type):
            text = pc.replace_substring(text, "\\", "\\\\")
            text = pc.replace_substring(text, "|", "\\|")
        parts.append(text)
    joined = pc.binary_join_element_wise(*parts, "|") if len(parts) > 1 else parts[0]
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _first_misfit(array: pa.Array, kind: ColumnType) -> int:
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array.slice(low, middle - low).cast(kind.arrow)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a character, as JSON can write it
        return None
    return value


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _INT else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _time(value: Any) -> int | None:
    """ms, a datetime with a zone, or its ISO 8601 text. A naive time is no time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return None if value.tzinfo is None else (value - _EPOCH) // timedelta(milliseconds=1)
    return _int(value)


_CONVERT: Final[dict[Kind, Callable[[Any], Any]]] = {
    "str": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "time": _time,
}
_FAMILY: Final[dict[Kind, tuple[Callable[[pa.DataType], bool], ...]]] = {
    "str": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "int": (pa.types.is_integer,),
    "float": (pa.types.is_floating, pa.types.is_integer),
    "bool": (pa.types.is_boolean,),
    "time": (pa.types.is_timestamp,),
}
