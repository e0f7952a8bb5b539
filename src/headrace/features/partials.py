"""Partials: what a tile holds, how they merge, and how a window feature's value is made of one.

Moments merge by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979), never by a sum of squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from headrace.declare.declaration import WindowFeature
from headrace.declare.window import Family
from headrace.errors import FeatureError

Scalar = str | int | float | bool | None

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_T = TypeVar("_T", int, float, str)


@dataclass(frozen=True, slots=True)
class Partial:
    """The mergeable state of one family over some events; slots as docs/architecture.md lays them out.

    n: how many events. a, b: the two slots. a_at, a_id, b_at, b_id: order of first and last.
    """

    n: int
    a: Scalar = None
    b: Scalar = None
    a_at: int | None = None
    a_id: str | None = None
    b_at: int | None = None
    b_id: str | None = None


EMPTY = Partial(0)


def merge(family: Family, partials: Iterable[Partial]) -> Partial:
    """The partial of all their events together; `EMPTY` of none. A sum of whole numbers may leave 64 bits here.

    >>> merge("moments", [Partial(2, 1.5, 0.5), Partial(1, 3.0, 0.0)])
    Partial(n=3, a=2.0, b=2.0, a_at=None, a_id=None, b_at=None, b_id=None)
    """
    filled = [partial for partial in partials if partial.n]
    return _MERGE[family](filled) if filled else EMPTY


def _total(partials: list[Partial]) -> Partial:
    return Partial(sum(partial.n for partial in partials), sum(_number(partial.a) for partial in partials))


def _extremes(partials: list[Partial]) -> Partial:
    low: Any = min(partial.a for partial in partials)  # type: ignore[type-var]
    high: Any = max(partial.b for partial in partials)  # type: ignore[type-var]
    return Partial(sum(partial.n for partial in partials), low, high)


def _moments(partials: list[Partial]) -> Partial:
    n, mean, squares = 0, 0.0, 0.0
    for partial in partials:
        both = n + partial.n
        delta = _number(partial.a) - mean
        mean += delta * partial.n / both
        squares += _number(partial.b) + delta * delta * n * partial.n / both
        n = both
    return Partial(n, mean, squares)


def _ends(partials: list[Partial]) -> Partial:
    first = min(partials, key=lambda partial: (partial.a_at, partial.a_id))
    last = max(partials, key=lambda partial: (partial.b_at, partial.b_id))
    n = sum(partial.n for partial in partials)
    return Partial(n, first.a, last.b, first.a_at, first.a_id, last.b_at, last.b_id)


_MERGE: Final[dict[Family, Callable[[list[Partial]], Partial]]] = {
    "total": _total,
    "extremes": _extremes,
    "moments": _moments,
    "ends": _ends,
}


def value(feature: WindowFeature, partial: Partial | None) -> Scalar:
    """The feature's value; a time is in ms.

    partial: of the window's events; None before the view's first known event, when all is null. FeatureError
    where a sum of whole numbers does not fit in 64 bits.
    """
    if partial is None:
        return None
    n, aggregate = partial.n, feature.aggregate
    if aggregate == "count":
        return n
    if n == 0:
        return _OF_NOTHING[feature.type.kind] if aggregate in ("sum", "rate") else None
    match aggregate:
        case "sum":
            return total(feature, partial)
        case "rate":
            return float(total(feature, partial)) / periods(feature)
        case "mean":
            return float(total(feature, partial)) / n
        case "variance":
            return float(_number(partial.b)) / n
        case "stddev":
            return math.sqrt(_number(partial.b) / n)
        case "min" | "first":
            found = partial.a
        case "max" | "last":
            found = partial.b
    return bool(found) if feature.type.kind == "bool" else found


_OF_NOTHING: Final[dict[str, Scalar]] = {"int": 0, "float": 0.0}


def total(feature: WindowFeature, partial: Partial) -> int | float:
    """The sum; FeatureError where it is of whole numbers and does not fit in 64 bits."""
    found: int | float = _number(partial.a)
    if isinstance(found, int) and not INT_MIN <= found <= INT_MAX:
        raise overflow(feature)
    return found


def overflow(feature: WindowFeature) -> FeatureError:
    """A sum of whole numbers left 64 bits."""
    return FeatureError(
        f"windows {feature.name.replace('__', '.')}",
        "its sum of whole numbers does not fit in 64 bits",
        "cast the expression to a float, or choose a smaller window",
    )


def periods(feature: WindowFeature) -> float:
    """How many periods of a rate its window holds."""
    assert feature.per is not None, feature.name
    return feature.size / feature.per


def _number(slot: Scalar) -> Any:
    return slot
