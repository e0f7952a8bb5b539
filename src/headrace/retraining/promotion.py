"""Promotion: whether a challenger takes the champion's place, by the declared metric."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from headrace.declare.rules import LOWER_IS_BETTER, Better
from headrace.models.artifact import Artifact
from headrace.models.comparison import Metrics, compare


@dataclass(frozen=True, slots=True)
class Contest:
    """The metric of both, and of the naive forecast, on `examples` examples; `promote`: who won; `reason`: why."""

    metric: str
    champion: float | None
    challenger: float | None
    naive: float | None
    examples: int
    promote: bool
    reason: str


def contest(condition: Better, champion: Artifact | None, challenger: Artifact, examples: pa.Table) -> Contest:
    """Both on the examples that neither has learned anything of.

    A champion that needs a feature that the project no longer has loses: it cannot answer any more.
    examples: as of `models.comparison.compare`.
    """
    both = compare(champion, challenger, examples)
    old, new, base = (_value(found, condition.metric) for found in (both.champion, both.challenger, both.naive))
    if champion is None:
        wins, reason = True, "there is no champion to compare with"
    elif both.lacking:
        wins, reason = True, f"the champion needs what the project no longer has: {', '.join(both.lacking)}"
    else:
        wins, reason = better_by(condition, old, new)
    return Contest(condition.metric, old, new, base, both.examples, wins, reason)


def _value(found: Metrics | None, metric: str) -> float | None:
    return None if found is None else found.get(metric)


def better_by(condition: Better, champion: float | None, challenger: float | None) -> tuple[bool, str]:
    """Whether the challenger is better by the declared fraction, and why.

    >>> from headrace.declare.rules import better
    >>> better_by(better("mae", by=0.01), 2.0, 1.9)
    (True, 'mae 1.9 is better than 2 by at least 1%')
    >>> better_by(better("auc", by=0.01), 0.80, 0.80)
    (False, 'auc 0.8 is not better than 0.8 by at least 1%')
    """
    if challenger is None or champion is None:
        return False, f"{condition.metric} is not defined on the examples that neither saw"
    if condition.metric in LOWER_IS_BETTER:
        wins = challenger <= champion * (1 - condition.by) and challenger < champion
    else:
        wins = challenger >= champion * (1 + condition.by) and challenger > champion
    verb = "is better" if wins else "is not better"
    return wins, f"{condition.metric} {challenger:.4g} {verb} than {champion:.4g} by at least {condition.by:.0%}"
