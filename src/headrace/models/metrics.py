"""Metrics of predictions by name. What is not defined on the examples is None, never NaN."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Task = Literal["regression", "classification"]
Vector = npt.NDArray[np.float64]


def metrics(task: Task, label: Any, prediction: Any, threshold: float = 0.5) -> dict[str, float | None]:
    """The metrics of a task over some examples, and `examples`, their number.

    regression: mae, rmse, mape (the mean of |error| / |label| over the `mape_examples` whose label is not 0).
    classification (label 0 or 1, prediction the probability of 1): auc, average_precision, log_loss, and at
    the threshold accuracy, precision, recall.

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
    found = _regression(y, p) if task == "regression" else _classification(y, p, threshold)
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


def _classification(y: Vector, p: Vector, threshold: float) -> dict[str, float | None]:
    positives = int(y.sum())
    both = 0 < positives < len(y)
    chosen = p >= threshold
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
    }
