"""Monitoring rules and the retraining policy, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from headrace.declare.duration import milliseconds
from headrace.errors import DeclarationError

LOWER_IS_BETTER: Final = ("mae", "rmse", "mape", "log_loss", "cost", "psi")
HIGHER_IS_BETTER: Final = ("auc", "average_precision", "accuracy", "precision", "recall")
METRICS: Final = LOWER_IS_BETTER + HIGHER_IS_BETTER
METRICS_OF: Final = {
    "regression": ("mae", "rmse", "mape"),
    "classification": ("log_loss", "auc", "average_precision", "accuracy", "precision", "recall", "cost"),
}
"""The metrics of a model by its task (cost: if declared); the first decides a promotion where none is named."""


@dataclass(frozen=True)
class Rule:
    """When a monitored metric is an alert.

    above: the metric exceeds `threshold`. rises, falls: the mean over predictions whose labels fell due (for
    psi: that were made) within `over` ms is worse than the registered model's holdout value by more than
    the fraction `threshold`. Below `minimum` observations the answer is 'no data', never 'ok'.
    """

    kind: Literal["above", "rises", "falls"]
    threshold: float
    over: int
    minimum: int


def above(threshold: float, *, over: str = "7d", minimum: int = 100) -> Rule:
    """Fires when the metric over the last `over` exceeds a threshold."""
    return Rule("above", _number("above", threshold), milliseconds(over, "above"), minimum)


def rises(fraction: float, *, over: str = "7d", minimum: int = 100) -> Rule:
    """Fires when an error over the last `over` exceeds the holdout's by a fraction."""
    return Rule("rises", _number("rises", fraction), milliseconds(over, "rises"), minimum)


def falls(fraction: float, *, over: str = "7d", minimum: int = 100) -> Rule:
    """Fires when a score over the last `over` lies below the holdout's by a fraction."""
    return Rule("falls", _number("falls", fraction), milliseconds(over, "falls"), minimum)


def _number(rule: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise DeclarationError(f"rule {rule}", f"{given!r} is not a number", f"write {rule}(0.1) or the like")
    return float(given)


@dataclass(frozen=True)
class Better:
    """A challenger is promoted when its metric on data that neither saw is better by the fraction `by`."""

    metric: str
    by: float


def better(metric: str, *, by: float = 0.0) -> Better:
    """The condition of a promotion.

    >>> better("mae", by=0.01)
    Better(metric='mae', by=0.01)
    """
    if metric not in METRICS or metric == "psi":
        raise DeclarationError(
            "retrain", f"{metric!r} is not a metric of a model", f"use one of {', '.join(METRICS)}"
        )
    return Better(metric, by)


@dataclass(frozen=True)
class Retrain:
    """The policy: which alerts (or how often, `every`) train a challenger, and what promotes it.

    cooldown: ms between two trainings. holdout: ms of the newest mature examples that decide. budget: at most
    so many trainings in 30 days.
    """

    on: tuple[str, ...]
    every: int | None
    cooldown: int
    holdout: int
    budget: int
    promote: Better
