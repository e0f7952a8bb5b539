"""Promotion: a challenger against the champion on examples that neither saw."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.rules import LOWER_IS_BETTER, Better
from headrace.models.artifact import Artifact
from headrace.models.metrics import metrics


@dataclass(frozen=True, slots=True)
class Comparison:
    """The metric of both, and of the naive forecast, on `count` examples; `promote` says who won, `reason` why."""

    metric: str
    champion: float | None
    challenger: float | None
    naive: float | None
    count: int
    promote: bool
    reason: str


def contest(condition: Better, champion: Artifact | None, challenger: Artifact, examples: pa.Table) -> Comparison:
    """Both on the examples that neither has learned anything of.

    examples: mature, with `t`, the features by name, `label` and `naive`.
    """
    since = max(artifact.spec.unseen_from for artifact in (champion, challenger) if artifact is not None)
    unseen = examples.filter(pc.field("t") >= since)
    label = unseen.column("label").cast(pa.float64()).to_numpy()
    task = challenger.spec.task

    def score(prediction: object) -> float | None:
        return metrics(task, label, prediction).get(condition.metric) if len(label) else None

    old = None if champion is None else score(champion.predict_table(unseen))
    new = score(challenger.predict_table(unseen))
    naive = unseen.filter(pc.field("naive").is_valid())
    base = None
    if naive.num_rows == unseen.num_rows:
        base = score(naive.column("naive").cast(pa.float64()).to_numpy())
    wins, reason = better_by(condition, old, new, champion is not None)
    return Comparison(condition.metric, old, new, base, unseen.num_rows, wins, reason)


def better_by(
    condition: Better, champion: float | None, challenger: float | None, crowned: bool
) -> tuple[bool, str]:
    """Whether the challenger is better by the declared fraction, and why.

    >>> from headrace.declare.rules import better
    >>> better_by(better("mae", by=0.01), 2.0, 1.9, True)
    (True, 'mae 1.9 is better than 2 by at least 1%')
    >>> better_by(better("auc", by=0.01), 0.80, 0.80, True)
    (False, 'auc 0.8 is not better than 0.8 by at least 1%')
    """
    if not crowned:
        return True, "there is no champion to compare with"
    if challenger is None or champion is None:
        return False, f"{condition.metric} is not defined on the examples that neither saw"
    if condition.metric in LOWER_IS_BETTER:
        wins = challenger <= champion * (1 - condition.by) and challenger < champion
    else:
        wins = challenger >= champion * (1 + condition.by) and challenger > champion
    verb = "is better" if wins else "is not better"
    return wins, f"{condition.metric} {challenger:.4g} {verb} than {champion:.4g} by at least {condition.by:.0%}"
