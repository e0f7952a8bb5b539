"""Windows over the past: `window.sum(sale.units, "7d", by="sku")`. Aggregates over tiles.

A window feature is an aggregate over a *view*: the tiles of one expression, by one key, at one hop, in one
family of partials. A view's identity is its definition, so that a window added later makes new views
and leaves the others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from headrace.declare.duration import span
from headrace.errors import DeclarationError

Aggregate = Literal["count", "sum", "rate", "mean", "min", "max", "variance", "stddev", "first", "last"]
Family = Literal["total", "extremes", "moments", "ends"]

FAMILY: Final[dict[Aggregate, Family]] = {
    "count": "total",
    "sum": "total",
    "rate": "total",
    "mean": "total",
    "min": "extremes",
    "max": "extremes",
    "variance": "moments",
    "stddev": "moments",
    "first": "ends",
    "last": "ends",
}


@dataclass(frozen=True, eq=False)
class Window:
    """An aggregate of an expression over the last `size` ms, by key columns, before it is given a name."""

    aggregate: Aggregate
    expression: Any
    size: int
    by: tuple[str, ...]
    per: int | None = None


def _window(
    aggregate: Aggregate, expression: Any, size: str, by: str | tuple[str, ...], per: str | None = None
) -> Window:
    subject = f"window.{aggregate}"
    keys = (by,) if isinstance(by, str) else tuple(by)
    if not keys:
        raise DeclarationError(subject, "it has no key", "name the key's column or columns in by=")
    period = None if per is None else span(per, subject)
    return Window(aggregate, expression, span(size, subject), keys, period)


def count(size: str, *, by: str | tuple[str, ...]) -> Any:
    """How many events; 0 for an empty window."""
    return _window("count", None, size, by)


def sum(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The sum of an expression; 0 for an empty window."""
    return _window("sum", expression, size, by)


def rate(expression: Any, size: str, *, per: str, by: str | tuple[str, ...]) -> Any:
    """The sum of an expression a period (`rate(x, "7d", per="1d")` is the 7-day average a day)."""
    return _window("rate", expression, size, by, per)


def mean(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The mean over the events whose expression is not null; null for an empty window."""
    return _window("mean", expression, size, by)


def min(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The least value; null for an empty window."""
    return _window("min", expression, size, by)


def max(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The greatest value; null for an empty window."""
    return _window("max", expression, size, by)


def variance(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The population variance, merged from (n, mean, M2) (Chan, Golub, LeVeque 1979)."""
    return _window("variance", expression, size, by)


def stddev(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The square root of the population variance."""
    return _window("stddev", expression, size, by)


def first(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The first value that is not null, by event time, then by record id."""
    return _window("first", expression, size, by)


def last(expression: Any, size: str, *, by: str | tuple[str, ...]) -> Any:
    """The last value that is not null, by event time, then by record id."""
    return _window("last", expression, size, by)
