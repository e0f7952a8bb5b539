"""The retrainer with models of its own: promote, refuse, fail, refuse to train on corrupt data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.declare.duration import DAY
from headrace.declare.rules import Retrain, better
from headrace.errors import TrainingError
from headrace.retraining.intake import Intake
from headrace.retraining.ledger import Entry
from headrace.retraining.retrainer import Retrainer

POLICY = Retrain(("mae",), None, cooldown=7 * DAY, holdout=14 * DAY, budget=5, promote=better("mae", by=0.05))


class Model:
    """Predicts a constant; has learned nothing from `unseen_from` on."""

    def __init__(self, value: float, unseen_from: int, needs: tuple[str, ...] = ()) -> None:
        self._value = value
        self.spec = SimpleNamespace(
            task="regression", cost=None, unseen_from=unseen_from, embargo=0, holdout=SimpleNamespace(last=0),
            encoding=SimpleNamespace(names=needs),
        )  # fmt: skip

    def predict_table(self, table: pa.Table) -> Any:
        return np.full(table.num_rows, self._value)


EXAMPLES = pa.table({"t": [1, 5, 9], "label": [100.0, 3.0, 3.0], "naive": [100.0, 4.0, 4.0]})


def version(number: int | None) -> Any:
    return None if number is None else SimpleNamespace(number=number)


def among(models: dict[int, Model]) -> Any:
    return lambda found: models[found.number]


def retrainer(models: dict[int, Model], intake: Intake = Intake(1000, 10)) -> Retrainer:  # noqa: B008
    def train(until: int) -> Any:
        return version(2), EXAMPLES

    return Retrainer(POLICY, among(models), train, lambda since, until: intake)


def test_a_better_challenger_is_promoted_on_what_neither_saw() -> None:
    models = {1: Model(5.0, 2), 2: Model(3.5, 4)}
    entries = retrainer(models).consider([], ["mae"], version(1), 20 * DAY)
    assert [entry.kind for entry in entries] == ["train", "promote"]
    assert entries[1].detail["champion_value"] == 2.0
    assert entries[1].detail["challenger_value"] == 0.5
    assert entries[1].detail["naive_value"] == 1.0
    assert entries[1].detail["examples"] == 2  # t = 1 was seen


def test_a_challenger_that_is_not_better_is_refused() -> None:
    models = {1: Model(3.5, 2), 2: Model(3.49, 4)}
    entries = retrainer(models).consider([], ["mae"], version(1), 20 * DAY)
    assert [entry.kind for entry in entries] == ["train", "refuse"]


def test_without_an_example_that_neither_saw_the_champion_stays() -> None:
    models = {1: Model(9.0, 2), 2: Model(3.0, 50)}
    assert [entry.kind for entry in retrainer(models).consider([], ["mae"], version(1), 20 * DAY)] == [
        "train",
        "refuse",
    ]


def test_the_first_model_is_promoted() -> None:
    models = {2: Model(9.0, 2)}
    assert [entry.kind for entry in retrainer(models).consider([], [], None, 0)] == ["train", "promote"]


def test_a_failed_training_is_written_down_and_the_champion_stays() -> None:
    def fail(until: int) -> Any:
        raise TrainingError("step train", "it has no data", "bring some")

    models = {1: Model(5.0, 2)}
    made = Retrainer(POLICY, among(models), fail, lambda since, until: Intake(1, 0))
    entries = made.consider([], ["mae"], version(1), 0)
    assert [entry.kind for entry in entries] == ["train", "failed"]
    assert "no data" in entries[1].detail["reason"]


@pytest.mark.parametrize(("dead", "kind"), [(300, "skip"), (200, "train")])
def test_nothing_is_trained_on_corrupt_data(dead: int, kind: str) -> None:
    models = {1: Model(5.0, 2), 2: Model(3.0, 4)}
    before = [Entry(0, "train", "model")]
    entries = retrainer(models, intake=Intake(800, dead)).consider(before, ["mae"], version(1), 20 * DAY)
    assert entries[0].kind == kind


def test_doing_nothing_is_said_once() -> None:
    models = {1: Model(5.0, 2)}
    before = [Entry(0, "train", "model", {"enriched": 0, "dead": 0})]
    first = retrainer(models).consider(before, ["mae"], version(1), DAY)
    assert [entry.kind for entry in first] == ["skip"]
    assert retrainer(models).consider([*before, *first], ["mae"], version(1), 2 * DAY) == []


def test_another_reason_to_do_nothing_is_said() -> None:
    models = {1: Model(5.0, 2)}
    before = [Entry(0, "train", "model")]
    cooling = retrainer(models).consider(before, ["mae"], version(1), DAY)
    corrupt = retrainer(models, intake=Intake(1, 1)).consider([*before, *cooling], ["mae"], version(1), 8 * DAY)
    assert [entry.kind for entry in cooling + corrupt] == ["skip", "skip"]
    assert "20%" in corrupt[0].detail["reason"]
    more = retrainer(models, intake=Intake(1, 2))
    assert more.consider([*before, *cooling, *corrupt], ["mae"], version(1), 9 * DAY) == []


def test_a_champion_that_needs_what_the_project_no_longer_has_loses() -> None:
    models = {1: Model(3.0, 2, needs=("dropped",)), 2: Model(50.0, 4)}
    entries = retrainer(models).consider([], ["mae"], version(1), 20 * DAY)
    assert [entry.kind for entry in entries] == ["train", "promote"]
    assert "dropped" in entries[1].detail["reason"]
    assert (entries[1].detail["champion_value"], entries[1].detail["challenger_value"]) == (None, 47.0)


def test_what_arrived_since_the_last_training_that_gave_a_model_is_asked_for() -> None:
    asked = []

    def intake(since: int | None, until: int) -> Intake:
        asked.append((since, until))
        return Intake(1, 1)

    made = Retrainer(POLICY, among({1: Model(5.0, 2)}), lambda until: version(2), intake)
    failed = [Entry(DAY, "train", "model"), Entry(DAY, "failed", "model")]
    made.consider(failed, ["mae"], version(1), 20 * DAY)
    made.consider([Entry(0, "train", "model"), *failed], ["mae"], version(1), 20 * DAY)
    assert asked == [(None, 20 * DAY), (0, 20 * DAY)]
