"""Rules and their verdicts: what a monitored metric says at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.declare.rules import Rule

State = Literal["ok", "alert", "no data"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says. metric: its name; subject: what it was measured on (a feature for psi); limit: where an
    alert begins; count: observations."""

    metric: str
    state: State
    value: float | None
    limit: float | None
    count: int
    subject: str

    def __str__(self) -> str:
        if self.state == "no data":
            return f"{self.metric}: no data ({self.count} observations)"
        sign = ">" if self.state == "alert" else "within"
        value, limit = ("?" if number is None else f"{number:.4g}" for number in (self.value, self.limit))
        return f"{self.metric} of {self.subject} {value} {sign} {limit} ({self.count})"


def judge(
    metric: str, rule: Rule, value: float | None, count: int, reference: float | None, subject: str
) -> Verdict:
    """The verdict of one rule.

    reference: the registered model's value of the metric on its holdout, for `rises` and `falls`.

    >>> from headrace.declare.rules import rises
    >>> judge("mae", rises(0.1), 1.2, 500, 1.0, "model 1").state
    'alert'
    >>> judge("mae", rises(0.1), 1.2, 5, 1.0, "model 1").state
    'no data'
    """
    limit = _limit(rule, reference)
    if value is None or limit is None or count < rule.minimum:
        return Verdict(metric, "no data", value, limit, count, subject)
    fires = value < limit if rule.kind == "falls" else value > limit
    return Verdict(metric, "alert" if fires else "ok", value, limit, count, subject)


def _limit(rule: Rule, reference: float | None) -> float | None:
    if rule.kind == "above":
        return rule.threshold
    if reference is None:
        return None
    return reference * (1 + rule.threshold) if rule.kind == "rises" else reference * (1 - rule.threshold)
