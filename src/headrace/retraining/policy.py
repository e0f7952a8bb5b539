"""The policy: whether to train a challenger now, from the ledger and what the rules say. A pure function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from headrace.declare.duration import DAY, HOUR, duration_text
from headrace.declare.rules import Retrain
from headrace.retraining.ledger import Entry

BUDGET_PERIOD: Final = 30 * DAY


@dataclass(frozen=True, slots=True)
class Decision:
    """train, skip (something asks for training and something forbids it until `until`, ms), or nothing asks."""

    kind: Literal["train", "skip", "nothing"]
    reason: str
    until: int | None = None


def decide(
    policy: Retrain, entries: Iterable[Entry], firing: Sequence[str], trained: int | None, now: int
) -> Decision:
    """What to do at `now` (ms), given the ledger so far and the metrics whose rules fire.

    trained: up to when the champion's data go (ms); None where there is no champion. A policy that names neither
    an alert nor a schedule trains nothing. Trainings that failed count neither in cooldown nor in budget; after one
    the next waits an hour, and twice as long after each further one, a day at most.

    >>> from headrace.declare.rules import better
    >>> policy = Retrain(("mae",), None, cooldown=7 * DAY, holdout=7 * DAY, budget=3, promote=better("mae"))
    >>> decide(policy, [], ["mae"], 0, now=0).reason
    'alert: mae'
    >>> decide(policy, [Entry(0, "train", "model")], ["mae"], 0, now=DAY)
    Decision(kind='skip', reason='alert: mae; cooling down for 7d after a training', until=604800000)
    """
    past = Trainings.of(entries)
    asked = [metric for metric in firing if metric in policy.on]
    if not policy.on and policy.every is None:
        return Decision("nothing", "no retraining is declared")
    if trained is None:
        reason = "no model yet"
    elif asked:
        reason = f"alert: {', '.join(asked)}"
    elif policy.every is not None and now - max([trained, *past.finished]) >= policy.every:
        reason = f"every {duration_text(policy.every)}"
    else:
        return Decision("nothing", "no rule fires")
    if past.failed and now < past.failed[-1] + past.pause:
        wait = f"the last training failed, waiting {duration_text(past.pause)}"
        return Decision("skip", f"{reason}; {wait}", past.failed[-1] + past.pause)
    if past.finished and now - past.finished[-1] < policy.cooldown:
        wait = f"cooling down for {duration_text(policy.cooldown)} after a training"
        return Decision("skip", f"{reason}; {wait}", past.finished[-1] + policy.cooldown)
    recent = [at for at in past.finished if now - at < BUDGET_PERIOD]
    if len(recent) >= policy.budget:
        spent = f"the budget of {policy.budget} trainings in 30d is spent"
        until = recent[-policy.budget] + BUDGET_PERIOD if policy.budget else None
        return Decision("skip", f"{reason}; {spent}", until)
    return Decision("train", reason)


@dataclass(frozen=True, slots=True)
class Trainings:
    """When trainings were that gave a model, and those that failed since the last of these (ms, oldest first)."""

    finished: tuple[int, ...]
    failed: tuple[int, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Trainings:
        """By the ledger, where the entry of a training stands before that of how it ended."""
        finished: list[int] = []
        failed: list[int] = []
        for entry in entries:
            if entry.kind == "train":
                finished.append(entry.at)
            elif entry.kind == "failed":
                failed.append(finished.pop())
            elif entry.kind in ("promote", "refuse"):
                failed.clear()
        return cls(tuple(finished), tuple(failed))

    @property
    def pause(self) -> int:
        """How long no training is tried after the last failure, ms."""
        return min(HOUR << (len(self.failed) - 1), DAY) if self.failed else 0
