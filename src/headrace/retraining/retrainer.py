"""The retrainer: carries a policy's decisions out, and writes every one of them down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from headrace.declare.rules import Retrain
from headrace.errors import ModelError, TrainingError
from headrace.models.artifact import Artifact
from headrace.models.registry import Registry, Version
from headrace.retraining.ledger import Entry
from headrace.retraining.policy import decide
from headrace.retraining.promotion import contest

CORRUPT: Final = 0.2
"""No model is trained while a larger share than this of the records since the last training were dead letters."""


@dataclass(frozen=True, slots=True)
class Intake:
    """How many records were enriched, and how many became dead letters, so far."""

    enriched: int
    dead: int


class Retrainer:
    """Decides at an instant, trains, compares, promotes or refuses.

    train: trains on what had arrived by an instant (ms) and registers; its version and the mature examples that it
    held out (`t`, the features by name, `label`, `naive`). intake: what came in so far.
    """

    def __init__(
        self,
        policy: Retrain,
        registry: Registry,
        train: Callable[[int], tuple[Version, pa.Table]],
        intake: Callable[[], Intake],
    ) -> None:
        self._policy = policy
        self._registry = registry
        self._train = train
        self._intake = intake

    def consider(self, entries: Sequence[Entry], firing: Sequence[str], now: int) -> list[Entry]:
        """What is decided at `now`, given the ledger so far and the metrics whose alert is on."""
        champion = self._registry.champion()
        decision = decide(self._policy, entries, firing, champion is not None, now)
        if decision.kind == "nothing":
            return []
        if decision.kind == "skip":
            return [] if _said(entries, decision.reason) else [_entry(now, "skip", decision.reason)]
        intake = self._intake()
        corrupt = _corrupt(entries, intake)
        if corrupt is not None:
            reason = f"{decision.reason}; {corrupt:.0%} of the records since the last training were dead letters"
            return [] if _said(entries, reason) else [_entry(now, "skip", reason)]
        begun = Entry(
            now, "train", "model", {"reason": decision.reason, "enriched": intake.enriched, "dead": intake.dead}
        )
        try:
            challenger, held_out = self._train(now)
            return [begun, self._contest(champion, challenger, held_out, now)]
        except (TrainingError, ModelError) as error:
            return [begun, _entry(now, "failed", str(error))]

    def _contest(self, champion: Version | None, challenger: Version, held_out: pa.Table, now: int) -> Entry:
        old: Artifact | None = None if champion is None else self._registry.load(champion)
        found = contest(self._policy.promote, old, self._registry.load(challenger), held_out)
        if found.promote:
            self._registry.promote(challenger)
        detail = {
            "reason": found.reason,
            "metric": found.metric,
            "champion": None if champion is None else champion.number,
            "challenger": challenger.number,
            "champion_value": found.champion,
            "challenger_value": found.challenger,
            "naive_value": found.naive,
            "examples": found.count,
        }
        return Entry(now, "promote" if found.promote else "refuse", f"version {challenger.number}", detail)


def _entry(now: int, kind: str, reason: str) -> Entry:
    return Entry(now, "skip" if kind == "skip" else "failed", "model", {"reason": reason})


def _said(entries: Sequence[Entry], reason: str) -> bool:
    """Whether the last entry says the same, but for how long a cooldown still lasts."""
    if not entries or entries[-1].kind != "skip":
        return False
    return str(entries[-1].detail.get("reason")).split(";")[0] == reason.split(";")[0]


def _corrupt(entries: Sequence[Entry], intake: Intake) -> float | None:
    """The share of dead letters since the last training, where it is too large."""
    last = [entry.detail for entry in entries if entry.kind == "train"]
    dead = intake.dead - (last[-1].get("dead", 0) if last else 0)
    enriched = intake.enriched - (last[-1].get("enriched", 0) if last else 0)
    total = dead + enriched
    share = dead / total if total > 0 else 0.0
    return share if share > CORRUPT else None
