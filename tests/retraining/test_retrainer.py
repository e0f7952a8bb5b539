"""The retrainer with a registry of its own: promote, refuse, fail, refuse to train on corrupt data."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.declare.duration import DAY
from headrace.declare.rules import Retrain, better
from headrace.errors import TrainingError
from headrace.retraining.ledger import Entry
from headrace.retraining.retrainer import Intake, Retrainer

POLICY = Retrain(("mae",), None, cooldown=7 * DAY, holdout=14 * DAY, budget=5, promote=better("mae", by=0.05))


class Model:
    """Predicts a constant; has learned nothing from `unseen_from` on."""

    def __init__(self, value: float, unseen_from: int) -> None:
        self._value = value
        self.spec = SimpleNamespace(task="regression", unseen_from=unseen_from)

    def predict_table(self, table: pa.Table) -> Any:
        return np.full(table.num_rows, self._value)


@dataclass
class Registry:
    """Models by number; the champion's number."""

    models: dict[int, Model]
    crowned: int | None

    def champion(self) -> Any:
        return None if self.crowned is None else SimpleNamespace(number=self.crowned)

    def load(self, version: Any) -> Any:
        return self.models[version.number]

    def promote(self, version: Any) -> None:
        self.crowned = version.number


EXAMPLES = pa.table({"t": [1, 5, 9], "label": [100.0, 3.0, 3.0], "naive": [100.0, 4.0, 4.0]})


def retrainer(registry: Registry, made: int = 2, intake: Intake = Intake(1000, 10)) -> Retrainer:  # noqa: B008
    def train(until: int) -> Any:
        return SimpleNamespace(number=made), EXAMPLES

    return Retrainer(POLICY, registry, train, lambda: intake)  # type: ignore[arg-type]


def test_a_better_challenger_is_promoted_on_what_neither_saw() -> None:
    registry = Registry({1: Model(5.0, 2), 2: Model(3.5, 4)}, 1)
    entries = retrainer(registry).consider([], ["mae"], 20 * DAY)
    assert [entry.kind for entry in entries] == ["train", "promote"]
    assert registry.crowned == 2
    assert entries[1].detail["champion_value"] == 2.0
    assert entries[1].detail["challenger_value"] == 0.5
    assert entries[1].detail["naive_value"] == 1.0
    assert entries[1].detail["examples"] == 2  # t = 1 was seen


def test_a_challenger_that_is_not_better_is_refused() -> None:
    registry = Registry({1: Model(3.5, 2), 2: Model(3.49, 4)}, 1)
    entries = retrainer(registry).consider([], ["mae"], 20 * DAY)
    assert [entry.kind for entry in entries] == ["train", "refuse"]
    assert registry.crowned == 1


def test_without_an_example_that_neither_saw_the_champion_stays() -> None:
    registry = Registry({1: Model(9.0, 2), 2: Model(3.0, 50)}, 1)
    assert [entry.kind for entry in retrainer(registry).consider([], ["mae"], 20 * DAY)] == ["train", "refuse"]
    assert registry.crowned == 1


def test_the_first_model_is_promoted() -> None:
    registry = Registry({2: Model(9.0, 2)}, None)
    assert [entry.kind for entry in retrainer(registry).consider([], [], 0)] == ["train", "promote"]


def test_a_failed_training_is_written_down_and_the_champion_stays() -> None:
    def fail(until: int) -> Any:
        raise TrainingError("step train", "it has no data", "bring some")

    registry = Registry({1: Model(5.0, 2)}, 1)
    made = Retrainer(POLICY, registry, fail, lambda: Intake(1, 0))  # type: ignore[arg-type]
    entries = made.consider([], ["mae"], 0)
    assert [entry.kind for entry in entries] == ["train", "failed"]
    assert "no data" in entries[1].detail["reason"]


@pytest.mark.parametrize(("dead", "kind"), [(300, "skip"), (200, "train")])
def test_nothing_is_trained_on_corrupt_data(dead: int, kind: str) -> None:
    registry = Registry({1: Model(5.0, 2), 2: Model(3.0, 4)}, 1)
    before = [Entry(0, "train", "model", {"enriched": 1000, "dead": 10})]
    entries = retrainer(registry, intake=Intake(1800, 10 + dead)).consider(before, ["mae"], 20 * DAY)
    assert entries[0].kind == kind


def test_doing_nothing_is_said_once() -> None:
    registry = Registry({1: Model(5.0, 2)}, 1)
    before = [Entry(0, "train", "model", {"enriched": 0, "dead": 0})]
    first = retrainer(registry).consider(before, ["mae"], DAY)
    assert [entry.kind for entry in first] == ["skip"]
    assert retrainer(registry).consider([*before, *first], ["mae"], 2 * DAY) == []
