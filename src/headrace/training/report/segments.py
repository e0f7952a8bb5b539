"""Segments: a feature's values in few groups, each with a name that people understand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from headrace.models.encoding import Column

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LEVELS: Final = 12
QUANTILES: Final = 5


def segments(column: Column, values: Vector) -> list[tuple[str, Mask]]:
    """The groups of a column of the matrix that are not empty, null last: levels, else values, else quantiles.

    >>> found = segments(Column("place", "str", ("here", "there")), np.array([1.0, 1.0, 0.0, np.nan]))
    >>> [(name, mask.tolist()) for name, mask in found][:2]
    [('there', [True, True, False, False]), ('here', [False, False, True, False])]
    >>> [name for name, _ in segments(Column("units", "int"), np.arange(10.0))]
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
    >>> [name for name, _ in segments(Column("price", "float"), np.arange(10.0))]
    ['0 to 1', '2 to 3', '4 to 5', '6 to 7', '8 to 9']
    """
    known = ~np.isnan(values)
    distinct, counts = np.unique(values[known], return_counts=True)
    if column.levels is not None:
        found = _levels(column.levels, values, distinct, counts)
    elif len(distinct) <= LEVELS and column.kind != "float":
        found = [(_name(column, value), values == value) for value in distinct]
    else:
        found = _quantiles(values, known)
    missing = "null or unseen" if column.levels is not None else "null"
    return [(name, mask) for name, mask in [*found, (missing, ~known)] if mask.any()]


def _levels(
    levels: Sequence[str], values: Vector, distinct: Vector, counts: npt.NDArray[Any]
) -> list[tuple[str, Mask]]:
    most = distinct[np.argsort(-counts, kind="stable")]
    found = [(levels[int(code)], values == code) for code in most[:LEVELS]]
    rest = most[LEVELS:]
    return [*found, (f"{len(rest)} others", np.isin(values, rest))]


def _name(column: Column, value: float) -> str:
    return {0.0: "false", 1.0: "true"}[value] if column.kind == "bool" else f"{value:g}"


def _quantiles(values: Vector, known: Mask) -> list[tuple[str, Mask]]:
    """Of equal values all are in one group, so that there may be fewer."""
    if not known.any():
        return []
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, QUANTILES + 1)[1:-1], method="lower"))
    place = np.searchsorted(edges, values, side="left")
    found = []
    for group in range(len(edges) + 1):
        mask = known & (place == group)
        if mask.any():
            low, high = values[mask].min(), values[mask].max()
            found.append((f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}", mask))
    return found
