"""Parts of a time in Python: what DuckDB's and Flink's date functions give, for ms from 1970 to 9999."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final

_DAY: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1).toordinal()

Parts = tuple[int, int, int, int, int, int]


@lru_cache(maxsize=65_536)
def day_parts(day: int) -> Parts:
    """Year, month, day, day of the year, ISO week and day of the week (Monday 0) of a day since 1970.

    >>> day_parts(0)
    (1970, 1, 1, 1, 1, 3)
    """
    found = date.fromordinal(_EPOCH + day)
    return (
        found.year,
        found.month,
        found.day,
        found.timetuple().tm_yday,
        found.isocalendar().week,
        found.weekday(),
    )


@lru_cache(maxsize=65_536)
def _first_day(year: int, month: int) -> int:
    return (date(year, month, 1).toordinal() - _EPOCH) * _DAY


def _month(ms: int) -> int:
    parts = day_parts(ms // _DAY)
    return _first_day(parts[0], parts[1])


def _quarter(ms: int) -> int:
    parts = day_parts(ms // _DAY)
    return _first_day(parts[0], (parts[1] - 1) // 3 * 3 + 1)


def _year(ms: int) -> int:
    return _first_day(day_parts(ms // _DAY)[0], 1)


TRUNCATE: Final[dict[str, Callable[[int], int]]] = {"M": _month, "Q": _quarter, "Y": _year}
"""The time cut to the beginning of its month, quarter or year, by ibis's unit."""

FIXED: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "D": _DAY}
"""The ms of the units of one length."""


def months(ms: int) -> int:
    """How many months have begun since the year 0."""
    parts = day_parts(ms // _DAY)
    return parts[0] * 12 + parts[1] - 1
