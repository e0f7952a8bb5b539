"""The four steps as a Kubeflow pipeline, run by kfp.local in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.errors import TrainingError
from headrace.models.artifact import load
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


def test_regression_twice_gives_the_same_model(inventory: Any, place: Path) -> None:
    declaration, at, lines = inventory.declaration, At(inventory, place), []
    first = run(declaration, at, inventory.until, {"trees": "40"}, lines.append)
    assert [line.split()[0] for line in lines] == ["preprocess", "train", "evaluate", "register"]
    assert (first.version, first.alias) == (1, "champion")
    assert first.metrics["model"]["mae"] < first.metrics["naive"]["mae"]
    champion = at.open_registry(declaration).champion()
    assert champion.sha256 == first.sha256
    artifact = at.open_registry(declaration).load(champion)
    assert artifact.spec.parameters == {**declaration.model.parameters, "trees": 40}
    assert (first.folder / "run.log").read_text()
    assert load(next(first.folder.glob("training-*/evaluate/sealed"))).sha256 == first.sha256

    second = run(declaration, at, inventory.until, {"trees": 40}, lines.append)
    assert (second.version, second.alias, second.sha256) == (2, "challenger", first.sha256)
    assert second.metrics["comparison"]["examples"] == first.metrics["model"]["examples"]


def test_classification(fraud: Any, place: Path) -> None:
    found = run(fraud.declaration, At(fraud, place), fraud.until, {}, lambda line: None)
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


def test_text_parameters_reach_the_model_as_they_are(fraud: Any, place: Path, tmp_path: Path) -> None:
    """A step's process gets a quoted, non-ASCII text unchanged."""
    source = fraud.declaration.path.read_text()
    old = "def train(x, y, max_depth: int = 4, trees: int = 60):"
    assert old in source
    project = tmp_path / "project.py"
    project.write_text(
        source.replace(
            old, old.replace("trees: int = 60", 'trees: int = 5, note: str = ""') + "\n    assert note == NOTE"
        )
        + f"\nNOTE = {TEXT!r}\n"
    )
    from headrace.declare.load import read_project

    declaration = read_project(project)
    found = run(declaration, At(fraud, place), fraud.until, {"note": TEXT}, lambda line: None)
    assert found.version == 1
    shutil.rmtree(found.folder)


TEXT = 'it\'s "quoted" {{x}} \\ é'
