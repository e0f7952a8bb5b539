"""What the errors of a classification cost: as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headrace.errors import DeclarationError


@dataclass(frozen=True)
class Cost:
    """What a missed positive and a false alarm cost: a number, or the column of the request that holds it."""

    missed: float | str
    false_alarm: float | str


def cost(*, missed: float | str, false_alarm: float | str) -> Cost:
    """The cost of both errors, in one unit; what is decided rightly costs nothing.

    A text names a column of the request: a missed fraud costs its payment's amount. The model's threshold is the
    cheapest, and `cost` is a metric: per 1,000 examples.

    >>> cost(missed="amount", false_alarm=5)
    Cost(missed='amount', false_alarm=5.0)
    """
    return Cost(_side("missed", missed), _side("false_alarm", false_alarm))


def _side(name: str, given: float | str) -> float | str:
    if isinstance(given, str):
        return given
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise DeclarationError(
            f"cost {name}", f"{given!r} is no positive number", "give a number above 0, or a column of the request"
        )
    return float(given)
