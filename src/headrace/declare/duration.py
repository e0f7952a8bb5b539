"""Durations: "10m", "7d" and the like, in whole milliseconds everywhere inside."""

from __future__ import annotations

import re
from typing import Final

from headrace.errors import DeclarationError

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

LONGEST: Final = 36_525 * DAY
"""A hundred years: every sum of an instant and a duration stays within 64 bits and Python's dates."""

_UNITS: Final = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


def milliseconds(text: str, subject: str = "duration") -> int:
    """Milliseconds of a duration such as "500ms", "10m", "7d".

    >>> milliseconds("7d")
    604800000
    """
    match = re.fullmatch(r"([0-9]{1,18})(ms|s|m|h|d|w)", text) if isinstance(text, str) else None
    if match is None:
        raise DeclarationError(
            subject,
            f"{text!r} is not a duration",
            "write a whole number and ms, s, m, h, d or w, such as '7d'",
        )
    found = int(match[1]) * _UNITS[match[2]]
    if found > LONGEST:
        raise DeclarationError(subject, f"{text!r} is longer than a hundred years", "write a shorter duration")
    return found


def span(text: str, subject: str = "duration") -> int:
    """Milliseconds of a duration that has a length: nothing can be repeated every "0s", nor last as long.

    >>> span("1h")
    3600000
    """
    found = milliseconds(text, subject)
    if not found:
        raise DeclarationError(subject, f"{text!r} is no time at all", "write a duration longer than that")
    return found


def duration_text(value: int) -> str:
    """The shortest text of a number of milliseconds.

    >>> duration_text(604800000), duration_text(90000)
    ('7d', '90s')
    """
    for unit in ("d", "h", "m", "s"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]}{unit}"
    return f"{value}ms"
