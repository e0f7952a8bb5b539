"""Calendar features in the project's time zone: one instant when served, columns of instants when trained."""

from __future__ import annotations

from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare import declaration as declared
from headrace.declare.duration import DAY, HOUR
from headrace.declare.resolve.features import CALENDAR
from headrace.errors import DeclarationError

_EPOCH: Final = date(1970, 1, 1).toordinal()
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Calendar:
    """Calendar features of instants, in ms since 1970 UTC.

    Days and hours are those of the declared time zone (IANA, through zoneinfo). A public holiday is one of the
    declared country or country-subdivision (package `holidays`); declared exceptions override it by date.
    DeclarationError for a holiday code that the package does not know and for an exception that is no date.

    >>> calendar = Calendar(declared.Calendar("America/New_York", "US", {"2017-12-26": True}))
    >>> calendar.at(1_514_250_000_000) == calendar.at(1_514_350_000_000) | {"hour": 20, "day_of_week": 0,
    ...     "day_of_month": 25}
    True
    >>> calendar.columns(np.array([1_514_350_000_000]))["day_of_week"].to_pylist()
    [1]
    """

    def __init__(self, declared_as: declared.Calendar) -> None:
        self._zone = ZoneInfo(declared_as.timezone)
        self._holidays = _public_holidays(declared_as.holidays)
        self._exceptions = {_date(text): holiday for text, holiday in declared_as.exceptions.items()}
        self._day = lru_cache(maxsize=4096)(self._of_day)

    def at(self, t: int) -> dict[str, int | bool]:
        """Every calendar feature at one instant, by its name."""
        local = datetime.fromtimestamp(t // 1000, self._zone)
        return {"hour": local.hour, **self._day(local.toordinal())}

    def columns(self, times: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
        """The same for an int64 array of instants: one array a feature, as long as `times`."""
        local = times + self._offsets(times)
        days = pa.array(local // DAY, pa.int64()).dictionary_encode()
        rows = [self._day(day + _EPOCH) for day in days.dictionary.to_pylist()]
        found = {"hour": pa.array(local % DAY // HOUR, pa.int64())}
        for name in (name for name in CALENDAR if name != "hour"):
            found[name] = pa.array([row[name] for row in rows], CALENDAR[name].arrow).take(days.indices)
        return found

    def _offsets(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Local time less UTC, ms. One look-up an hour of UTC, and one a time where the zone changes inside it."""
        encoded = pa.array(times // HOUR, pa.int64()).dictionary_encode()
        hours, inverse = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        starts = np.array([self._offset(hour * HOUR) for hour in hours], np.int64)
        ends = np.array([self._offset(hour * HOUR + HOUR - 1) for hour in hours], np.int64)
        found: npt.NDArray[np.int64] = starts[inverse]
        for place in np.flatnonzero((starts != ends)[inverse]):
            found[place] = self._offset(int(times[place]))
        return found

    def _offset(self, t: int) -> int:
        local = datetime.fromtimestamp(t // 1000, self._zone)
        return round((local.replace(tzinfo=UTC) - _ZERO).total_seconds()) * 1000 - t // 1000 * 1000

    def _of_day(self, ordinal: int) -> dict[str, int | bool]:
        day = date.fromordinal(ordinal)
        holiday = self._exceptions.get(day)
        if holiday is None:
            holiday = self._holidays is not None and day in self._holidays
        return {
            "day_of_week": day.weekday(),
            "day_of_month": day.day,
            "week": day.isocalendar().week,
            "month": day.month,
            "quarter": (day.month + 2) // 3,
            "is_weekend": day.weekday() >= 5,
            "is_holiday": holiday,
        }


def _public_holidays(code: str | None) -> holidays.HolidayBase | None:
    if code is None:
        return None
    country, _, subdivision = code.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError as error:
        known = holidays.list_supported_countries()
        if country in known:
            codes = [f"{country}-{name}" for name in known[country]]
            near = codes or [country]
        else:
            near = get_close_matches(country.upper(), known, n=5, cutoff=0.3)
        raise DeclarationError(
            f"holidays={code!r}",
            "the package holidays knows no such country or subdivision",
            f"use an ISO code such as 'US' or 'DE-BY'; near are {', '.join(near)}",
        ) from error


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DeclarationError(f"exceptions[{text!r}]", "it is not a date", "write it as '2017-12-26'") from error
