"""The four steps as a Kubeflow pipeline, run by kfp.local in processes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.declare.load import read_project
from headrace.errors import TrainingError
from headrace.models.artifact import load
from headrace.training import steps
from headrace.training.local import run
from headrace.training.progress import heard, reported


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


def test_a_failing_step_is_told_with_its_message(fraud: Any, place: Path) -> None:
    lines: list[str] = []
    with pytest.raises(TrainingError, match="before the holdout"):
        run(fraud.declaration, At(fraud, place), fraud.until - 17 * 86_400_000, {}, lines.append)
    assert lines == []


def test_an_unknown_parameter_starts_nothing(fraud: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="depth"):
        run(fraud.declaration, At(fraud, tmp_path), fraud.until, {"depth": 3}, lambda line: None)
    assert not (tmp_path / "training").exists()


def test_any_error_of_a_users_function_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def step() -> dict[str, Any]:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError):
        reported("train", step)
    told = heard(capsys.readouterr().out.splitlines()[0])
    assert told is not None
    assert told.error is not None
    assert told.error[:2] == ("step train", "ZeroDivisionError: division by zero")


@pytest.mark.filterwarnings("ignore")
def test_compiles_with_every_parameter_typed(tmp_path: Path) -> None:
    from kfp import compiler

    from headrace.training.pipeline import pipeline

    parameters = {"max_depth": 6, "rate": 0.1, "goal": 'it\'s "quoted"', "fast": True}
    compiler.Compiler().compile(pipeline(parameters), str(tmp_path / "pipeline.yaml"))
    found = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    inputs = found["root"]["inputDefinitions"]["parameters"]
    assert {name: inputs[name]["parameterType"] for name in parameters} == {
        "max_depth": "NUMBER_INTEGER",
        "rate": "NUMBER_DOUBLE",
        "goal": "STRING",
        "fast": "BOOLEAN",
    }
    assert {name: inputs[name]["defaultValue"] for name in parameters} == parameters
    outputs = found["components"]["comp-evaluate"]["outputDefinitions"]["artifacts"]
    assert outputs["sealed"]["artifactType"]["schemaTitle"] == "system.Model"
    assert outputs["report"]["artifactType"]["schemaTitle"] == "system.Metrics"


def test_a_parameter_with_a_settings_name_is_refused() -> None:
    from headrace.training.pipeline import pipeline

    with pytest.raises(TrainingError, match="until"):
        pipeline({"until": 3})
