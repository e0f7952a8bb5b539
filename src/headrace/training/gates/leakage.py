"""Leakage: one feature alone tells the label better than anything that is known at t could.

A leak is a feature made from what happens after t (Kaufman, Rosset, Perlich and Stitelman 2012, "Leakage in data
mining: formulation, detection, and avoidance"). A strong honest feature, such as a lag, tells much as well, and how
much differs by problem. So the limits lie where only a copy of the label, or a rule that makes it, arrives, in
training and on the holdout both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from headrace.declare.declaration import Task
from headrace.models.encoding import Column
from headrace.training.gates.evidence import Evidence, Part, Vector
from headrace.training.gates.finding import Finding
from headrace.training.gates.ranks import auc, spearman

LIMITS: Final = {"regression": 0.999, "classification": 0.995}
"""|Spearman's rank correlation| with a number, AUC for a condition."""
NULLS: Final = 0.995
"""AUC between what is null and the label."""
ENOUGH: Final = 30
"""So many examples of either side (of each class; null and not null) must be there before anything is judged."""
_BINS: Final = 256
_MEASURES: Final = {"regression": "rank correlation", "classification": "AUC"}


def leakage(evidence: Evidence) -> Iterator[Finding]:
    evidence, task, limit = evidence.sample(), evidence.task, LIMITS[evidence.task]
    if _predictable(evidence, limit):
        return
    for index, column in enumerate(evidence.encoding.columns):
        train, holdout = alone(evidence, index)
        if train is not None and holdout is not None and min(train, holdout) > limit:
            measure = _MEASURES[task]
            yield Finding(
                "leakage",
                column.name,
                f"alone it tells the label with {measure} {train:.4f} in training and {holdout:.4f} on the holdout "
                f"(limit {limit})",
                {"train": train, "holdout": holdout, "limit": limit},
            )
            continue
        train, holdout = nulls_alone(evidence, index)
        if train is not None and holdout is not None and min(train, holdout) > NULLS:
            yield Finding(
                "leakage",
                column.name,
                f"whether it is null tells the label with AUC {train:.4f} in training and {holdout:.4f} on the "
                f"holdout (limit {NULLS})",
                {"train": train, "holdout": holdout, "limit": NULLS},
            )


def alone(evidence: Evidence, index: int) -> tuple[float | None, float | None]:
    """How well one column tells the label: in training (on examples that it did not learn from), on the holdout.

    The better of its own order and of the mean label of its levels or bins; None where there is too little.
    """
    column, train, holdout = evidence.encoding.columns[index], evidence.train, evidence.holdout
    odd = np.arange(len(train.label)) % 2 == 1
    halves = (train.matrix[odd, index], train.label[odd]), (train.matrix[~odd, index], train.label[~odd])
    return (
        _told(evidence.task, column, *halves[0], *halves[1]),
        _told(evidence.task, column, train.matrix[:, index], train.label, holdout.matrix[:, index], holdout.label),
    )


def nulls_alone(evidence: Evidence, index: int) -> tuple[float | None, float | None]:
    """How well the label tells where one column is null, as AUC from 0.5 to 1: in training, on the holdout."""
    train, holdout = (_null_auc(part, index) for part in (evidence.train, evidence.holdout))
    return train, holdout


def _predictable(evidence: Evidence, limit: float) -> bool:
    """Whether the naive forecast, which knows the past alone, tells the label as well as a leak would."""
    found = [
        _score(evidence.task, part.label[known], part.naive[known])
        for part in (evidence.train, evidence.holdout)
        for known in [~np.isnan(part.naive)]
    ]
    return all(score is not None and score > limit for score in found)


def _null_auc(part: Part, index: int) -> float | None:
    null = np.isnan(part.matrix[:, index])
    if min(null.sum(), (~null).sum()) < ENOUGH:
        return None
    return _either(auc(null, part.label))


def _told(task: Task, column: Column, values: Vector, label: Vector, judged: Vector, judge: Vector) -> float | None:
    """The score on (judged, judge) of a column, whose bins learn from (values, label)."""
    scores = []
    if column.levels is None:
        known = ~np.isnan(judged)
        scores.append(_score(task, judge[known], judged[known]))
    edges = _edges(values) if column.levels is None else np.arange(len(column.levels), dtype=np.float64) - 0.5
    learned = _means(edges, values, label)
    scores.append(_score(task, judge, learned[_bins(edges, judged)]))
    return max((score for score in scores if score is not None), default=None)


def _score(task: Task, label: Vector, score: Vector) -> float | None:
    if task == "classification":
        if min((label == 1).sum(), (label == 0).sum()) < ENOUGH:
            return None
        return _either(auc(label == 1, score))
    if len(label) < 2 * ENOUGH:
        return None
    found = spearman(label, score)
    return None if found is None else abs(found)


def _either(area: float | None) -> float | None:
    return None if area is None else max(area, 1 - area)


def _edges(values: Vector) -> Vector:
    known = values[~np.isnan(values)]
    count = min(_BINS, len(known) // 20)
    if count < 2:
        return np.empty(0)
    found: Vector = np.unique(np.quantile(known, np.linspace(0, 1, count + 1)[1:-1]))
    return found


def _bins(edges: Vector, values: Vector) -> npt.NDArray[np.int64]:
    """The last one is of nulls."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _means(edges: Vector, values: Vector, label: Vector) -> Vector:
    """The mean label of each bin; of one that is empty, that of all."""
    bins, size = _bins(edges, values), len(edges) + 2
    count = np.bincount(bins, minlength=size)
    sums = np.bincount(bins, weights=label, minlength=size)
    return np.where(count > 0, sums / np.maximum(count, 1), label.mean())
