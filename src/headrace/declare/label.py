"""Labels: an aggregate over a window of the future, or an outcome that arrives later.

Examples are what is labelled: the points of a time grid per active entity, or every event of a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from headrace.declare.duration import milliseconds, span
from headrace.declare.records import Stream

RESERVED: Final = ("t", "label", "naive")
"""Names of columns that a training set has beside the request and the features."""

FutureAggregate = Literal["count", "sum", "mean", "min", "max"]


@dataclass(frozen=True, eq=False)
class Future:
    """An aggregate of an expression over the entity's events in `[t, t + horizon)`."""

    aggregate: FutureAggregate
    expression: Any
    horizon: int


class future:  # noqa: N801  (reads as a namespace beside `window`)
    """Aggregates over the window that begins at the prediction: `future.sum(sale.units, "7d")`."""

    @staticmethod
    def count(horizon: str) -> Any:
        return Future("count", None, span(horizon, "future.count"))

    @staticmethod
    def sum(expression: Any, horizon: str) -> Any:
        return Future("sum", expression, span(horizon, "future.sum"))

    @staticmethod
    def mean(expression: Any, horizon: str) -> Any:
        return Future("mean", expression, span(horizon, "future.mean"))

    @staticmethod
    def min(expression: Any, horizon: str) -> Any:
        return Future("min", expression, span(horizon, "future.min"))

    @staticmethod
    def max(expression: Any, horizon: str) -> Any:
        return Future("max", expression, span(horizon, "future.max"))


@dataclass(frozen=True, eq=False)
class Outcome:
    """The value of the first matching event of the outcome's stream in `[t, t + delay)`, else `silence`."""

    expression: Any
    match: str
    delay: int
    silence: bool | int | float


def outcome(expression: Any, *, match: str, within: str, silence: bool | int | float = False) -> Any:
    """A label that arrives as an event: `outcome(chargeback.lost, match="payment_id", within="14d")`.

    match: the column that the example's event and the outcome's event share. within: the delay after which
    silence means `silence`.
    """
    return Outcome(expression, match, span(within, "outcome"), silence)


@dataclass(frozen=True)
class Grid:
    """Every multiple of `every` (plus `offset`) since 1970 UTC, for each entity active within `active`."""

    every: int
    active: int
    offset: int


@dataclass(frozen=True)
class Each:
    """Every event of a stream, which is itself the request and is never in its own history."""

    stream: type[Stream]


def grid(every: str, *, active: str, offset: str = "0s") -> Grid:
    """Examples on a time grid. 1970-01-01 was a Thursday: `offset="4d"` puts a weekly grid on Mondays.

    >>> grid("7d", active="28d").every
    604800000
    """
    return Grid(span(every, "grid"), span(active, "grid"), milliseconds(offset, "grid"))


def each(stream: type[Stream]) -> Each:
    """Examples at every event of a stream."""
    return Each(stream)
