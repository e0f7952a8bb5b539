"""Promotion: a challenger against the champion on examples that neither saw."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.declare.rules import LOWER_IS_BETTER, Better


@dataclass(frozen=True, slots=True)
class Comparison:
    """The metric of both on `count` examples; `promote` says who won, `reason` why."""

    metric: str
    champion: float | None
    challenger: float | None
    count: int
    promote: bool
    reason: str


def compare(condition: Better, champion: float | None, challenger: float | None, count: int) -> Comparison:
    """Whether the challenger is better by the declared fraction.

    >>> from headrace.declare.rules import better
    >>> compare(better("mae", by=0.01), 2.0, 1.9, 100).promote
    True
    >>> compare(better("auc", by=0.01), 0.80, 0.80, 100).reason
    'auc 0.8 is not better than 0.8 by 1%'
    """
    metric = condition.metric
    if challenger is None or count == 0:
        return Comparison(metric, champion, challenger, count, False, "no example that neither saw")
    if champion is None:
        return Comparison(metric, champion, challenger, count, True, "there is no champion to compare with")
    if metric in LOWER_IS_BETTER:
        wins = challenger <= champion * (1 - condition.by) and challenger < champion
    else:
        wins = challenger >= champion * (1 + condition.by) and challenger > champion
    verb = "is better" if wins else "is not better"
    reason = f"{metric} {challenger:.4g} {verb} than {champion:.4g} by {condition.by:.0%}"
    return Comparison(metric, champion, challenger, count, wins, reason)
