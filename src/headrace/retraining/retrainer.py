"""The retrainer: what a policy's decision comes to, as entries for the ledger. Whoever wrote them down promotes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from headrace.declare.rules import Retrain
from headrace.errors import ModelError, TrainingError
from headrace.models.artifact import Artifact
from headrace.models.registry import Version
from headrace.retraining.intake import CORRUPT, Intake
from headrace.retraining.ledger import Entry
from headrace.retraining.policy import Trainings, decide
from headrace.retraining.promotion import contest


class Retrainer:
    """Decides at an instant, trains, compares.

    load: a version's artifact. train: trains on what had arrived by an instant (ms) and registers; its version and
    the mature examples that it held out (`t`, the features by name, `label`, `naive`). intake: what arrived in
    `[since, until)`, ms; None is the beginning.
    """

    def __init__(
        self,
        policy: Retrain,
        load: Callable[[Version], Artifact],
        train: Callable[[int], tuple[Version, pa.Table]],
        intake: Callable[[int | None, int], Intake],
    ) -> None:
        self._policy = policy
        self._load = load
        self._train = train
        self._intake = intake

    def consider(
        self, entries: Sequence[Entry], firing: Sequence[str], champion: Version | None, now: int
    ) -> list[Entry]:
        """What is decided at `now`, given the ledger so far, the metrics whose alert is on, and the champion."""
        old = None if champion is None else self._load(champion)
        trained = None if old is None else old.spec.holdout.last + old.spec.embargo
        decision = decide(self._policy, entries, firing, trained, now)
        if decision.kind == "nothing":
            return []
        if decision.kind == "skip":
            return _skip(entries, now, decision.reason, {"until": decision.until})
        finished = Trainings.of(entries).finished
        intake = self._intake(finished[-1] if finished else None, now)
        counts = {"enriched": intake.enriched, "dead": intake.dead}
        if intake.corrupt:
            cause = f"more than {CORRUPT:.0%} of the records since the last training were dead letters"
            return _skip(entries, now, f"{decision.reason}; {cause}", counts)
        begun = Entry(now, "train", "model", {"reason": decision.reason, **counts})
        try:
            challenger, held_out = self._train(now)
            return [begun, self._contest(champion, old, challenger, held_out, now)]
        except (TrainingError, ModelError) as error:
            return [begun, Entry(now, "failed", "model", {"reason": str(error)})]

    def _contest(
        self, champion: Version | None, old: Artifact | None, challenger: Version, held_out: pa.Table, now: int
    ) -> Entry:
        found = contest(self._policy.promote, old, self._load(challenger), held_out)
        detail = {
            "reason": found.reason,
            "metric": found.metric,
            "champion": None if champion is None else champion.number,
            "challenger": challenger.number,
            "champion_value": found.champion,
            "challenger_value": found.challenger,
            "naive_value": found.naive,
            "examples": found.examples,
        }
        return Entry(now, "promote" if found.promote else "refuse", f"version {challenger.number}", detail)


def _skip(entries: Sequence[Entry], now: int, reason: str, detail: dict[str, Any]) -> list[Entry]:
    """Nothing where the last entry says the same."""
    said = entries and entries[-1].kind == "skip" and entries[-1].detail.get("reason") == reason
    return [] if said else [Entry(now, "skip", "model", {"reason": reason, **detail})]
