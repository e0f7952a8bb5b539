"""Kinds of values as the compiler sees them, and the ranges of an int and of a time."""

from __future__ import annotations

from typing import Any, Final

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_SHIFTS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "D": 86_400_000, "W": 604_800_000}


def kind_of(dtype: dt.DataType) -> str | None:
    """The kind of an ibis type: one of declare's five, "null", or None."""
    if dtype.is_null():
        return "null"
    if dtype.is_boolean():
        return "bool"
    if dtype.is_string():
        return "str"
    if dtype.is_integer() and not dtype.is_uint64():
        return "int"
    if dtype.is_floating():
        return "float"
    if dtype.is_timestamp() and dtype.timezone in (None, "UTC"):
        return "time"
    return None


def shift_of(interval: Any) -> int | None:
    """The ms of a constant interval of weeks, days, hours, minutes and seconds; None for any other."""
    if isinstance(interval, ops.IntervalAdd | ops.IntervalSubtract):
        left, right = shift_of(interval.left), shift_of(interval.right)
        if left is None or right is None:
            return None
        return left + right if isinstance(interval, ops.IntervalAdd) else left - right
    if not isinstance(interval, ops.Literal) or not isinstance(interval.value, int):
        return None
    unit = _SHIFTS.get(interval.dtype.unit.short) if interval.dtype.is_interval() else None
    return None if unit is None else interval.value * unit
