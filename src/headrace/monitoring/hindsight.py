"""Hindsight: what each model version, and the naive forecast, would have scored on judged predictions.

The features are those that were logged when they were served, so every version is asked the same question.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.models.artifact import Artifact
from headrace.models.comparison import predictions, score
from headrace.models.costs import Costs
from headrace.models.metrics import metrics
from headrace.monitoring.judged import Events, judge_due

NAIVE = "naive"
SERVED = "as served"

Scores = dict[str, dict[str, float | None]]


def hindsight(
    declaration: Declaration, made: pa.Table, events: Events, versions: Mapping[str, Artifact], watermark: int
) -> Scores:
    """Metrics by forecaster over the predictions of `made` whose labels are final at the watermark (ms).

    made: columns of the predictions topic. Forecasters: `naive` (where the label is a future window), `as served`,
    and each version by its name; one that needs a feature that the project no longer has scores on no example.
    """
    judged = judge_due(declaration, made, events, watermark)
    if not judged.num_rows:
        return {}
    label = judged.column("label").to_numpy()
    task = declaration.model.task
    scores: Scores = {}
    if judged.column("naive").null_count == 0:
        scores[NAIVE] = metrics(task, label, judged.column("naive").to_numpy())
    cost = declaration.model.cost
    scores[SERVED] = metrics(
        task,
        label,
        judged.column("_prediction").to_numpy(),
        pc.coalesce(judged.column("_decision"), pc.greater_equal(judged.column("_prediction"), 0.5)).to_numpy(),
        None if cost is None else Costs.of(cost, judged),
    )
    features = pa.table(
        {feature.name: judged.column(f"feature__{feature.name}") for feature in declaration.features}
    )
    for name, artifact in versions.items():
        theirs = predictions(artifact, features)
        scores[name] = (
            score(artifact.spec, cost, judged.slice(0, 0), label[:0])
            if theirs is None
            else score(artifact.spec, cost, judged, theirs)
        )
    return scores


def since(made: pa.Table, begin: int, end: int) -> pa.Table:
    """The predictions with `begin <= t < end`, ms."""
    return made.filter((pc.field("_t") >= begin) & (pc.field("_t") < end))
