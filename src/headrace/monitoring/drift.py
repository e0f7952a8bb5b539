"""Drift: the population stability index of served features and predictions against the training baseline."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from headrace.declare.declaration import Declaration
from headrace.declare.row import columns_used
from headrace.models.artifact import Spec
from headrace.models.baseline import Baseline

PREDICTION = "prediction"


def watched(declaration: Declaration) -> list[str]:
    """The features that can drift: those that read more than the calendar, which always moves on."""
    return [
        feature.name
        for feature in declaration.features
        if any(not name.startswith("calendar__") for name in columns_used(feature.expression))
    ]


def drift(declaration: Declaration, spec: Spec, made: pa.Table) -> dict[str, float]:
    """PSI of each watched feature, and of the prediction, over some predictions of one model."""
    return {name: baseline.psi(counts) for name, baseline, counts in _counts(declaration, spec, made)}


def _counts(declaration: Declaration, spec: Spec, made: pa.Table) -> Iterator[tuple[str, Baseline, object]]:
    for name in watched(declaration):
        baseline = spec.baselines.get(name)
        if baseline is not None:
            yield name, baseline, baseline.counts(_values(made.column(f"feature__{name}"), baseline))
    if spec.prediction is not None:
        yield PREDICTION, spec.prediction, spec.prediction.counts(made.column("_prediction").to_numpy())


def _values(column: pa.ChunkedArray, baseline: Baseline) -> object:
    if baseline.edges is None:
        return column.to_pylist()
    return column.cast(pa.float64()).to_numpy()
