"""Metrics of predictions by name. What is not defined on the examples is None, never NaN."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from headrace.models.costs import Costs

Task = Literal["regression", "classification"]
Vector = npt.NDArray[np.float64]


def metrics(
    task: Task, label: Any, prediction: Any, decision: Any = None, costs: Costs | None = None
) -> dict[str, float | None]:
    """The metrics of a task over some examples, and `examples`, their number.

    regression: mae, rmse, mape (the mean of |error| / |label| over the `mape_examples` whose label is not 0).
    classification (label 0 or 1, prediction the probability of 1): auc, average_precision, log_loss, and of the
    decisions accuracy, precision, recall, and with `costs` cost, per 1,000 examples.
    decision: true or false, an example each; None is yes from a probability of 0.5 on.

    >>> found = metrics("regression", [1, 0, 4], [2, 1, 2])
    >>> round(found["mae"], 3), found["mape"], found["mape_examples"]
    (1.333, 0.75, 2.0)
    >>> metrics("classification", [1, 1], [0.9, 0.4])["auc"] is None
    True
    """
    y = np.asarray(label, dtype=np.float64)
    p = np.asarray(prediction, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise ValueError(f"labels of shape {y.shape} and predictions of shape {p.shape}")
    found = _regression(y, p) if task == "regression" else _classification(y, p, decision, costs)
    return {**found, "examples": float(len(y))}


def _mean(values: Vector) -> float | None:
    mean = float(values.mean()) if len(values) else math.nan
    return mean if math.isfinite(mean) else None


def _regression(y: Vector, p: Vector) -> dict[str, float | None]:
    error = np.abs(y - p)
    square = _mean(error**2)
    labelled = y != 0
    with np.errstate(over="ignore"):
        shares = error[labelled] / np.abs(y[labelled])
    return {
        "mae": _mean(error),
        "rmse": None if square is None else float(np.sqrt(square)),
        "mape": _mean(shares),
        "mape_examples": float(labelled.sum()),
    }


def _classification(y: Vector, p: Vector, decision: Any, costs: Costs | None) -> dict[str, float | None]:
    positives = int(y.sum())
    both = 0 < positives < len(y)
    chosen = p >= 0.5 if decision is None else np.asarray(decision, np.bool_)
    hits = float((chosen & (y == 1)).sum())
    auc = average_precision = None
    if positives:
        # Costs seconds to import, and only these two need it.
        from sklearn.metrics import average_precision_score, roc_auc_score

        average_precision = float(average_precision_score(y, p))
        auc = float(roc_auc_score(y, p)) if both else None
    safe = np.clip(p, 1e-15, 1 - 1e-15)
    return {
        "auc": auc,
        "average_precision": average_precision,
        "log_loss": _mean(-(y * np.log(safe) + (1 - y) * np.log1p(-safe))),
        "accuracy": _mean((chosen == (y == 1)).astype(np.float64)),
        "precision": hits / float(chosen.sum()) if chosen.any() else None,
        "recall": hits / positives if positives else None,
        "positives": float(positives),
        **({} if costs is None else {"cost": costs.told(y, chosen)}),
    }


def precision_at(count: int, period: Any, label: Any, prediction: Any) -> float | None:
    """The share of positives among the `count` most probable examples of each period, such as a day; None of none.

    What a team finds that can look into `count` cases a day. Of equal predictions the earlier example comes first.

    >>> precision_at(1, [0, 0, 1, 1], [1, 0, 1, 0], [0.9, 0.1, 0.2, 0.3])
    0.5
    """
    day, y, p = np.asarray(period), np.asarray(label, np.float64), np.asarray(prediction, np.float64)
    if not len(y):
        return None
    order = np.lexsort((-p, day))
    day, y = day[order], y[order]
    begins = np.concatenate([[True], day[1:] != day[:-1]])
    first = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    return float(y[np.arange(len(y)) - first < count].mean())
