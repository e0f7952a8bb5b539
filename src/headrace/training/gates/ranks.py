"""Rank correlation and the area under the ROC curve, of which both are None where they are not defined."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


def ranks(values: Vector) -> Vector:
    """Places in order, from 1; equal values share the mean of theirs.

    >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Vector = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


def spearman(one: Vector, other: Vector) -> float | None:
    """
    >>> spearman(np.array([1.0, 2.0, 9.0]), np.array([3.0, 2.0, 1.0]))
    -1.0
    """
    if len(one) < 2:
        return None
    left, right = ranks(one), ranks(other)
    left, right = left - left.mean(), right - right.mean()
    size = float(np.sqrt((left @ left) * (right @ right)))
    return None if size == 0 else float(np.clip((left @ right) / size, -1, 1))


def auc(positive: npt.NDArray[np.bool_], score: Vector) -> float | None:
    """The share of pairs of a positive and a negative that a score orders rightly, ties counting half.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return None
    return float((ranks(score)[positive].sum() - count * (count + 1) / 2) / (count * others))
