"""Arithmetic in Python as the core of rewrites.py defines it, where Python's own operators differ."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, NoReturn

from headrace.compile.kinds import INT_MAX, INT_MIN
from headrace.compile.sql import FLOAT_TEXT, INT_TEXT
from headrace.errors import FeatureError

_INT: Final = re.compile(INT_TEXT)
_FLOAT: Final = re.compile(FLOAT_TEXT)
_WHOLE: Final = 2.0**52


def overflow(subject: str, operation: str) -> NoReturn:
    """int64 has no room for the value."""
    raise FeatureError(
        subject, f"{operation} overflows a 64-bit int", "cast an operand to float, or check the values that come in"
    )


def missing(error: KeyError) -> NoReturn:
    """A row lacks a column."""
    subject = f"column {error.args[0]!r}"
    raise FeatureError(subject, "the row does not have it", "give it, if only as None") from error


def power(left: float, right: float) -> float | None:
    """left ** right, or null where that is not a finite float."""
    try:
        return math.pow(left, right)
    except (OverflowError, ValueError):
        return None


def exp(value: float) -> float | None:
    """e ** value, or null where that is too large."""
    try:
        return math.exp(value)
    except OverflowError:
        return None


def trunc(value: float) -> float:
    """Without its fraction."""
    return value if not -_WHOLE < value < _WHOLE else float(int(value))


def floor(value: float) -> float:
    """Rounded down."""
    return value if not -_WHOLE < value < _WHOLE else float(math.floor(value))


def ceil(value: float) -> float:
    """Rounded up."""
    return value if not -_WHOLE < value < _WHOLE else float(math.ceil(value))


def half(value: float) -> float:
    """Rounded half away from zero.

    >>> half(2.5), half(-2.5), half(0.49999999999999994)
    (3.0, -3.0, 0.0)
    """
    if not -_WHOLE < value < _WHOLE:
        return value
    whole = float(int(value))
    rest = value - whole
    return whole + 1.0 if rest >= 0.5 else whole - 1.0 if rest <= -0.5 else whole


WHOLE: Final[dict[str, Callable[[float], float]]] = {"trunc": trunc, "floor": floor, "ceil": ceil, "round": half}


def to_int(value: float) -> int | None:
    """A float without a fraction as an int; null outside of int64."""
    return int(value) if -9.223372036854775808e18 <= value < 9.223372036854775808e18 else None


def try_int(text: str) -> int | None:
    """The int that a text spells, or null."""
    digits = text.lstrip("+-0")
    if _INT.fullmatch(text) is None or len(digits) > 19:
        return None
    value = int(digits or "0") * (-1 if text.startswith("-") else 1)
    return value if INT_MIN <= value <= INT_MAX else None


def try_float(text: str) -> float | None:
    """The float that a text spells, or null. It may be infinite."""
    return float(text) if _FLOAT.fullmatch(text) is not None else None


def remainder(left: int, right: int) -> int:
    """With the sign of the dividend.

    >>> remainder(-7, 2), remainder(7, -2)
    (-1, 1)
    """
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest
