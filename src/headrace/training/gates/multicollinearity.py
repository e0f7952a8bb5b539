"""Multicollinearity: a feature that those declared before it already say.

Trees predict well beside collinear features, and the customary limits of the variance inflation factor, 5 or 10,
are no reason to drop one (O'Brien 2007, "A caution regarding rules of thumb for variance inflation factors"). What
does harm with any model is a feature that *is* another one, or a sum of others: importance and explanation are
divided between them by chance. So the limits stop that alone, and the report shows the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from headrace.models.encoding import Matrix
from headrace.training.gates.evidence import Evidence, Vector
from headrace.training.gates.finding import Finding

PAIR: Final = 0.999
"""|Pearson's correlation| of two features."""
VIF: Final = 1000.0
"""The variance inflation factor, 1 / (1 - R²): R² above 0.999 on the features declared before."""


def multicollinearity(evidence: Evidence) -> Iterator[Finding]:
    evidence = evidence.sample()
    columns, matrix = evidence.encoding.columns, evidence.train.matrix
    numeric = [index for index, column in enumerate(columns) if column.levels is None]
    correlation = correlations(matrix[:, numeric])
    inflation = growing(correlation)
    for place, index in enumerate(numeric):
        near = np.abs(correlation[place, :place])
        name = columns[index].name
        if place and near.max() > PAIR:
            other = int(near.argmax())
            related, value = columns[numeric[other]].name, float(correlation[place, other])
            yield Finding(
                "multicollinearity",
                name,
                f"it repeats {related}: their correlation is {value:.6f} (limit {PAIR})",
                {"correlation": value, "limit": PAIR},
                (related,),
            )
        elif inflation[place] > VIF:
            most = np.argsort(-near)[:3]
            related_names = tuple(columns[numeric[other]].name for other in most)
            shown = float(min(inflation[place], 1e12))
            yield Finding(
                "multicollinearity",
                name,
                f"the features before it say the same, {', '.join(related_names)} foremost: its variance inflation "
                f"factor over them is {_large(shown)} (limit {VIF:.0f})",
                {"vif": shown, "limit": VIF},
                related_names,
            )
    yield from _same_levels(evidence)


def _same_levels(evidence: Evidence) -> Iterator[Finding]:
    columns, matrix = evidence.encoding.columns, evidence.train.matrix
    categories = [index for index, column in enumerate(columns) if column.levels is not None]
    for place, index in enumerate(categories):
        for other in categories[:place]:
            count = partition(matrix[:, [other]])
            if 1 < count == partition(matrix[:, [index]]) == partition(matrix[:, [other, index]]):
                yield Finding(
                    "multicollinearity",
                    columns[index].name,
                    f"it repeats {columns[other].name}: each of its {count} levels goes with one of those",
                    {"levels": count},
                    (columns[other].name,),
                )
                break


def partition(matrix: Matrix) -> int:
    """How many different rows there are; null is a value.

    >>> partition(np.array([[1.0, 2.0], [1.0, 2.0], [np.nan, 2.0]]))
    2
    """
    return len(np.unique(np.where(np.isnan(matrix), -1.0, matrix), axis=0))


def correlations(matrix: Matrix) -> Matrix:
    """Pearson's, nulls standing at their column's mean; a column without variance correlates with none, itself but.

    >>> correlations(np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [np.nan, 6.0, 5.0]])).round(3).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    standard = np.column_stack([_standard(column) for column in matrix.T]) if matrix.size else matrix
    found: Matrix = np.clip(standard.T @ standard, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def _standard(column: Vector) -> Vector:
    """Mean 0 and length 1. Divided by the largest first: squares of the largest floats have no place in one."""
    known = ~np.isnan(column)
    values = np.zeros(len(column))
    if known.any():
        largest = float(np.abs(column[known]).max()) or 1.0
        scaled = column[known] / largest
        values[known] = scaled - scaled.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1e-9 * np.sqrt(len(column)) else np.zeros(len(column))


def growing(correlation: Matrix) -> Vector:
    """The inflation factor of each feature over those before it: so of a group that depends on itself, the last.

    >>> growing(np.array([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8], [0.6, 0.8, 1.0]])).tolist()
    [1.0, 1.0, inf]
    """
    size = len(correlation)
    found = np.ones(size)
    for last in range(1, size):
        before, own = correlation[:last, :last], correlation[:last, last]
        left = 1.0 - float(own @ _inverse(before) @ own)
        found[last] = 1.0 / left if left > 1e-12 else np.inf
    return found


def inflation(correlation: Matrix) -> Vector:
    """The variance inflation factor of each feature over all others: the diagonal of the inverse (Marquardt 1970).

    Infinite where the others say all of it, which an inverse cannot tell.

    >>> inflation(np.array([[1.0, 0.6], [0.6, 1.0]])).round(4).tolist()
    [1.5625, 1.5625]
    """
    size = len(correlation)
    found = np.ones(size)
    for one in range(size):
        others = np.arange(size) != one
        own = correlation[others, one]
        left = 1.0 - float(own @ _inverse(correlation[np.ix_(others, others)]) @ own)
        found[one] = 1.0 / left if left > 1e-12 else np.inf
    return found


def _inverse(correlation: Matrix) -> Matrix:
    return np.linalg.pinv(correlation, rcond=1e-10, hermitian=True).astype(np.float64)


def _large(value: float) -> str:
    return f"{value:,.0f}" if value < 1e9 else "without bound"
