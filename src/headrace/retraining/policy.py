"""The policy: whether to train a challenger now, from the ledger and what the rules say. A pure function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from headrace.declare.duration import DAY, duration_text
from headrace.declare.rules import Retrain
from headrace.retraining.ledger import Entry

BUDGET_PERIOD: Final = 30 * DAY


@dataclass(frozen=True, slots=True)
class Decision:
    """train, skip (something asks for training and something forbids it), or nothing asks."""

    kind: Literal["train", "skip", "nothing"]
    reason: str


def decide(policy: Retrain, entries: Iterable[Entry], firing: Sequence[str], champion: bool, now: int) -> Decision:
    """What to do at `now` (ms), given the ledger so far and the metrics whose rules fire.

    >>> from headrace.declare.rules import better
    >>> policy = Retrain(("mae",), None, cooldown=7 * DAY, holdout=7 * DAY, budget=3, promote=better("mae"))
    >>> decide(policy, [], ["mae"], True, now=0)
    Decision(kind='train', reason='alert: mae')
    >>> decide(policy, [Entry(0, "train", "demand")], ["mae"], True, now=DAY)
    Decision(kind='skip', reason='alert: mae; cooling down for 6d more')
    """
    trainings = [entry.at for entry in entries if entry.kind == "train"]
    asked = [metric for metric in firing if metric in policy.on]
    if not champion:
        reason = "no model yet"
    elif asked:
        reason = f"alert: {', '.join(asked)}"
    elif policy.every is not None and trainings and now - max(trainings) >= policy.every:
        reason = f"every {duration_text(policy.every)}"
    else:
        return Decision("nothing", "no rule fires")
    if trainings and now - max(trainings) < policy.cooldown:
        left = policy.cooldown - (now - max(trainings))
        return Decision("skip", f"{reason}; cooling down for {duration_text(left)} more")
    recent = sum(1 for at in trainings if now - at < BUDGET_PERIOD)
    if recent >= policy.budget:
        return Decision("skip", f"{reason}; the budget of {policy.budget} trainings in 30d is spent")
    return Decision("train", reason)
