"""How long a training set must be before a feature can be expected to have shown what it can be.

A feature over 28 days has not varied as it will in examples of one week, and the month not in examples of one
month: what a gate finds in them then is true, and passes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headrace.declare.declaration import Declaration, Feature
from headrace.declare.duration import DAY
from headrace.declare.row import columns_used

_YEAR: Final = 366 * DAY
_CALENDAR: Final[Mapping[str, int]] = {
    "hour": DAY,
    "day_of_week": 7 * DAY,
    "is_weekend": 7 * DAY,
    "day_of_month": 31 * DAY,
    "week": _YEAR,
    "month": _YEAR,
    "quarter": _YEAR,
    "is_holiday": _YEAR,
}


def reach(declaration: Declaration, feature: Feature) -> int:
    """The longest window or period of the calendar that a feature reads, in ms; 0 where it reads neither."""
    used = columns_used(feature.expression)
    windows = [declaration.windows[name].size for name in used if name in declaration.windows]
    return max([*windows, *(span for name, span in _CALENDAR.items() if f"calendar__{name}" in used)], default=0)
