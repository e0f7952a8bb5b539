"""Comparison: a challenger beside the champion, on the examples of which neither has learned anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.cost import Cost
from headrace.models.artifact import Artifact, Spec
from headrace.models.costs import Costs
from headrace.models.metrics import metrics

Metrics = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The metrics of each on `examples` examples.

    champion: None where there is none, or where it lacks features. naive: None where an example has no such
    forecast. lacking: the features that the champion needs and the project no longer has.
    """

    examples: int
    challenger: Metrics
    champion: Metrics | None
    naive: Metrics | None
    lacking: tuple[str, ...]


def compare(champion: Artifact | None, challenger: Artifact, examples: pa.Table) -> Comparison:
    """Both on the same examples.

    examples: mature, with `t`, the request, the features by name, `label` and `naive`. Each decides by its own
    threshold; what errors cost, the challenger says.
    """
    known = [model.spec.unseen_from for model in (champion, challenger) if model is not None]
    fresh = examples.filter(pa.array(unseen(examples.column("t").to_numpy(), *known)))
    task, cost = challenger.spec.task, challenger.spec.cost
    theirs = None if champion is None else predictions(champion, fresh)
    naive = fresh.column("naive")
    return Comparison(
        examples=fresh.num_rows,
        challenger=score(challenger.spec, cost, fresh, challenger.predict_table(fresh)),
        champion=None if champion is None or theirs is None else score(champion.spec, cost, fresh, theirs),
        naive=None if naive.null_count else metrics(task, _floats(fresh, "label"), _floats(fresh, "naive")),
        lacking=() if champion is None else lacking(champion, fresh),
    )


def score(
    spec: Spec, cost: Cost | None, examples: pa.Table, prediction: npt.NDArray[np.float64]
) -> dict[str, float | None]:
    """The metrics of a model's predictions, decided by its threshold.

    examples: `label`, and the request's columns that a cost names.
    """
    label = _floats(examples, "label")
    if spec.task == "regression":
        return metrics(spec.task, label, prediction)
    costs = None if cost is None else Costs.of(cost, examples)
    return metrics(spec.task, label, prediction, spec.decide(prediction), costs)


def unseen(times: npt.NDArray[np.int64], *since: int) -> npt.NDArray[np.bool_]:
    """The examples of which no model has seen anything: t at or after each model's `Spec.unseen_from` (ms).

    >>> unseen(np.array([10, 20, 30]), 15, 30).tolist()
    [False, False, True]
    """
    return times >= max(since)


def lacking(model: Artifact, features: pa.Table) -> tuple[str, ...]:
    """The features that a model needs and a table does not have."""
    return tuple(name for name in model.spec.encoding.names if name not in features.column_names)


def predictions(model: Artifact, features: pa.Table) -> npt.NDArray[np.float64] | None:
    """What a model says of a table of features; None when it needs a feature that the project no longer has."""
    return None if lacking(model, features) else model.predict_table(features)


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = table.column(name).cast(pa.float64()).to_numpy()
    return found
