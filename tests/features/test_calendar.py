"""Calendar features: the scalar and the vectorised way agree, and both are right."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare import declaration as declared
from headrace.declare.resolve.features import CALENDAR
from headrace.errors import DeclarationError
from headrace.features.calendar import Calendar

ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Monrovia", "Pacific/Apia")
CALENDARS = {zone: Calendar(declared.Calendar(zone, "US", {"2017-12-26": True})) for zone in ZONES}


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


EDGES = [
    ms("2017-03-12T07:00:00"),  # New York springs forward
    ms("2017-11-05T06:00:00"),  # and falls back
    ms("2017-04-01T15:00:00"),  # Lord Howe, by half an hour
    ms("1972-01-07T00:44:30"),  # Monrovia, inside an hour and by an odd offset
    ms("2011-12-30T10:00:00"),  # Apia skips a day
    ms("2018-01-01T00:00:00"),
]
instants = st.one_of(
    st.integers(0, ms("2100-01-01T00:00:00")),
    st.builds(lambda edge, near: edge + near, st.sampled_from(EDGES), st.integers(-90_000_000, 90_000_000)),
    st.builds(lambda edge, near: edge + near, st.sampled_from(EDGES), st.integers(-1_001, 1_001)),
)


@settings(max_examples=150, deadline=None)
@given(zone=st.sampled_from(ZONES), times=st.lists(instants, min_size=0, max_size=20))
def test_columns_are_what_each_instant_gives(zone: str, times: list[int]) -> None:
    calendar = CALENDARS[zone]
    columns = calendar.columns(np.array(times, np.int64))
    assert list(columns) == list(CALENDAR)
    assert all(columns[name].type == kind.arrow for name, kind in CALENDAR.items())
    for place, t in enumerate(times):
        assert {name: column[place].as_py() for name, column in columns.items()} == calendar.at(t)


@settings(max_examples=150, deadline=None)
@given(zone=st.sampled_from(ZONES), t=instants)
def test_each_instant_is_read_off_the_local_clock(zone: str, t: int) -> None:
    local = datetime.fromtimestamp(t // 1000, UTC).astimezone(ZoneInfo(zone))
    found = CALENDARS[zone].at(t)
    assert (found["hour"], found["day_of_week"], found["day_of_month"]) == (
        local.hour,
        local.weekday(),
        local.day,
    )
    assert (found["week"], found["month"]) == (local.isocalendar().week, local.month)
    assert (found["quarter"], found["is_weekend"]) == ((local.month - 1) // 3 + 1, local.isoweekday() in (6, 7))


def test_holidays_are_those_of_the_local_day_and_exceptions_override_them() -> None:
    zone = "America/New_York"
    calendar = Calendar(declared.Calendar(zone, "US", {"2017-12-26": True, "2017-07-04": False}))
    for day, holiday in (
        ("2017-12-25", True),
        ("2017-12-24", False),
        ("2017-12-26", True),
        ("2017-07-04", False),
    ):
        for hour in ("00:00:00", "23:59:59.999"):
            assert calendar.at(ms(f"{day}T{hour}", zone))["is_holiday"] is holiday


def test_a_subdivision_has_holidays_of_its_own() -> None:
    corpus_christi = ms("2024-05-30T12:00:00")
    assert Calendar(declared.Calendar("UTC", "DE-BY", {})).at(corpus_christi)["is_holiday"] is True
    assert Calendar(declared.Calendar("UTC", "DE-BE", {})).at(corpus_christi)["is_holiday"] is False
    assert Calendar(declared.Calendar("UTC", None, {})).at(corpus_christi)["is_holiday"] is False


@pytest.mark.parametrize(("code", "near"), [("UX", "US"), ("DE-BX", "DE-BY"), ("DEV", "DE")])
def test_an_unknown_holiday_code_is_refused_and_names_the_near_ones(code: str, near: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        Calendar(declared.Calendar("UTC", code, {}))
    assert code in refused.value.subject
    assert near in refused.value.remedy


def test_an_exception_that_is_no_date_is_refused() -> None:
    with pytest.raises(DeclarationError, match="26 December"):
        Calendar(declared.Calendar("UTC", "US", {"26 December": True}))
