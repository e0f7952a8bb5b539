"""Instants as text: ms since 1970 in every place inside, ISO 8601 in UTC wherever someone reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EARLIEST: Final = -62_135_596_800_000
"""The first ms of the year 1."""
LATEST: Final = 253_402_300_799_999
"""The last ms of the year 9999."""


def instant_text(ms: int) -> str:
    """An instant, to the ms where it is not a whole second; as a number where no calendar has it.

    >>> instant_text(1_500), instant_text(86_400_000), instant_text(2**60)
    ('1970-01-01T00:00:01.500Z', '1970-01-02T00:00:00Z', '1152921504606846976 ms')
    """
    if not EARLIEST <= ms <= LATEST:
        return f"{ms} ms"
    found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return found.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def minute_text(ms: int) -> str:
    """An instant for a table's column, cut to the minute.

    >>> minute_text(86_430_000)
    '1970-01-02 00:00'
    """
    return instant_text(ms)[:16].replace("T", " ") if EARLIEST <= ms <= LATEST else instant_text(ms)
