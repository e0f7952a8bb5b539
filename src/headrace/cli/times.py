"""Instants as a user writes them on the command line."""

from __future__ import annotations

from datetime import UTC, date, datetime

from headrace.errors import HeadraceError


def milliseconds_of(text: str, subject: str) -> int:
    """ms since 1970 of an ISO 8601 date (its first instant in UTC) or a time with a zone.

    >>> milliseconds_of("2017-07-01", "--until")
    1498867200000
    """
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise HeadraceError(
            subject, f"{text!r} is not a time", "write 2017-07-01 or 2017-07-01T12:00:00Z"
        ) from error
    if moment.tzinfo is None:
        raise HeadraceError(subject, f"{text!r} has no time zone", "end it with Z or an offset such as +02:00")
    return round(moment.timestamp() * 1000)
