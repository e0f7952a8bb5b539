"""The four steps as a Kubeflow pipeline, run by kfp.local in processes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.declare.load import read_project
from headrace.errors import TrainingError
from headrace.models.artifact import load
from headrace.training import steps
from headrace.training.graph import graph
from headrace.training.listing import listing
from headrace.training.local import run
from headrace.training.progress import begun, heard, step
from headrace.training.record import STEPS, Record
from headrace.training.runs import Runs


class At:
    """The archive of a filled project, and a registry and runs elsewhere."""

    def __init__(self, filled: Any, home: Path) -> None:
        self.filled, self.home = filled, home

    def open_archive(self, declaration: Any) -> Any:
        from headrace.archive.delta import Archive

        return Archive(self.filled.home / "archive")

    def open_registry(self, declaration: Any) -> Any:
        from headrace.models.registry import Registry

        return Registry(f"sqlite:///{self.home}/models/mlflow.db", declaration.name)


def test_regression(inventory: Any, place: Path, tmp_path: Path) -> None:
    declaration, at, lines = inventory.declaration, At(inventory, place), []
    found = run(declaration, at, inventory.until, {"trees": "40"}, lines.append)
    assert [line.split()[0] for line in lines] == ["preprocess", "train", "evaluate", "register"]
    assert (found.version, found.alias) == (1, "champion")
    assert found.metrics["model"]["mae"] < found.metrics["naive"]["mae"]
    registry = at.open_registry(declaration)
    champion = registry.champion()
    assert registry.load(champion).spec.parameters == {**declaration.model.parameters, "trees": 40}

    record = Record.read(found.folder)
    assert record is not None
    assert (record.status, record.version, record.alias, record.run) == (
        "succeeded",
        1,
        "champion",
        champion.run_id,
    )
    assert record.parameters["trees"] == 40
    for name, before in STEPS.items():
        one = record.step(name)
        assert one.status == "succeeded"
        assert one.cpu > 0
        assert 2**24 < one.memory < 2**36
        assert one.began <= one.ended
        assert bool(one.inputs) == bool(before)
        log = (found.folder / one.log).read_text()
        assert "headrace-" not in log
        assert [other for other in STEPS if f"component `{other}`" in log] == [name]
    assert record.step("preprocess").outputs["dataset"]["metadata"]["train"] > 100
    assert record.step("train").inputs["dataset"]["bytes"] == record.step("preprocess").outputs["dataset"]["bytes"]
    assert record.step("evaluate").outputs["page"]["type"] == "system.HTML"
    shown = (found.folder / "run.html").read_text()
    assert shown.count("<rect") == 4
    assert 'href="train.log"' in shown
    kept = registry.run(champion.run_id)
    assert kept.parameters == {
        "max_depth": "6",
        "trees": "40",
        "learning_rate": "0.1",
        "seed": str(declaration.model.seed),
    }
    assert kept.tags["until"] == str(inventory.until)
    assert kept.metrics["naive_mae"] == found.metrics["naive"]["mae"]
    assert {"report.html", "run.json", "run.html", "model"} <= set(registry.files(kept.id))

    # The same steps in this process give the same model, to the bit.
    dataset, draft, sealed = (str(tmp_path / name) for name in ("dataset", "draft", "sealed"))
    project, archive = str(declaration.path), str(inventory.home / "archive")
    steps.preprocess(project, archive, inventory.until, declaration.retrain.holdout, dataset)
    steps.train(project, dataset, {"trees": 40}, draft)
    again = steps.evaluate(dataset, draft, registry.tracking_uri, sealed, str(tmp_path / "report.json"))
    assert again["sha256"] == found.sha256 == champion.sha256
    assert load(next(found.folder.glob("training-*/evaluate/sealed"))).sha256 == found.sha256
    assert again["report"]["comparison"]["examples"] == found.metrics["model"]["examples"]


TEXT = 'it\'s "quoted" {{x}} \\ é'


def test_classification_with_a_text_parameter(fraud: Any, place: Path, tmp_path: Path) -> None:
    """A step's process gets a quoted, non-ASCII text unchanged: else the model asserts."""
    old = "def train(x, y, max_depth: int = 4, trees: int = 60):"
    new = "def train(x, y, max_depth: int = 4, trees: int = 30, note: str = ''):\n    assert note == NOTE"
    source = fraud.declaration.path.read_text()
    assert old in source
    project = tmp_path / "project.py"
    project.write_text(f"NOTE = {TEXT!r}\n" + source.replace(old, new))
    found = run(read_project(project), At(fraud, place), fraud.until, {"note": TEXT}, lambda line: None)
    assert found.metrics["task"] == "classification"
    assert found.metrics["model"]["auc"] > 0.8 > found.metrics["naive"]["auc"]


def test_a_failing_step_is_told_and_leaves_its_record(fraud: Any, place: Path) -> None:
    lines: list[str] = []
    with pytest.raises(TrainingError, match="before the holdout"):
        run(fraud.declaration, At(fraud, place), fraud.until - 17 * 86_400_000, {}, lines.append)
    assert lines == []
    ((folder, record),) = Runs(place / "training", "fraud").records()
    assert record.status == "failed"
    assert [one.status for one in record.steps] == ["failed", "not run", "not run", "not run"]
    assert "before the holdout" in record.step("preprocess").error
    assert "Traceback" in (folder / "preprocess.log").read_text()
    assert record.step("preprocess").error in graph(record)
    (kept,) = At(fraud, place).open_registry(fraud.declaration).runs()
    assert (kept.status, kept.id, kept.tags["declaration"]) == ("FAILED", record.run, fraud.declaration.digest)
    (listed,) = listing(place / "training", "fraud", At(fraud, place).open_registry(fraud.declaration))
    assert (listed.status, listed.run, listed.error) == ("failed", record.run, record.step("preprocess").error)


def test_an_unknown_parameter_starts_nothing(fraud: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="depth"):
        run(fraud.declaration, At(fraud, tmp_path), fraud.until, {"depth": 3}, lambda line: None)
    assert not (tmp_path / "training").exists()


def test_any_error_of_a_users_function_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), step("train"):
        raise ZeroDivisionError("division by zero")
    first, last = capsys.readouterr().out.splitlines()
    assert (begun(first), begun(last), heard(first)) == ("train", None, None)
    told = heard(last)
    assert told is not None
    assert told.error is not None
    assert told.error[:2] == ("step train", "ZeroDivisionError: division by zero")
    assert told.ended >= told.began > 0


def test_a_parameter_with_a_settings_name_is_refused() -> None:
    from headrace.training.pipeline import pipeline

    with pytest.raises(TrainingError, match="until"):
        pipeline({"until": 3})
