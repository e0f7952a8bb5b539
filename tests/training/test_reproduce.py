"""A run that is rebuilt: identical from the versions that it read, and what differs where something does."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.archive.columns import schemas
from headrace.archive.delta import Archive
from headrace.cli import app
from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.errors import ModelError
from headrace.models.registry import Registry, Version
from headrace.training import steps
from headrace.training.reproduce import Rebuilt, pins, reproduce


@dataclass
class Trained:
    """A project whose folder is a repository, its archive, and a model that was registered."""

    file: Path
    archive: Archive
    registry: Registry
    version: Version

    @property
    def declaration(self) -> Declaration:
        return read_project(self.file)

    def again(self, subject: str = "1") -> Rebuilt:
        return reproduce(self.declaration, self.registry, self.archive, subject, lambda line: None)

    def change(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(self.file.parent), *who, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(fraud: Any, empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """By the steps in this process, as the components call them."""
    place = tmp_path_factory.mktemp("made")
    (place / "models").mkdir()
    shutil.copyfile(empty_registry, place / "models" / "mlflow.db")
    (place / "repository" / "models").mkdir(parents=True)
    file = Path(shutil.copyfile(fraud.declaration.path, place / "repository" / "models" / "project.py"))
    declaration, archive = read_project(file), fraud.home / "archive"
    registry = Registry(f"sqlite:///{place}/models/mlflow.db", "fraud")
    found = Trained(file, Archive(archive), registry, Version(0, "", "", "", {}))
    found.git("init", "--quiet", "..")
    found.git("add", ".")
    found.git("commit", "--quiet", "-m", "A project")
    dataset, draft, sealed, report = (str(place / name) for name in ("dataset", "draft", "sealed", "report"))
    holdout = declaration.retrain.holdout
    steps.preprocess(str(file), str(archive), fraud.until, holdout, dataset)
    steps.train(str(file), dataset, {"trees": 20}, draft)
    steps.evaluate(dataset, draft, registry.tracking_uri, sealed, report)
    drawn = {"archive": str(archive), "until": fraud.until, "holdout": holdout, "job": "j1"}
    facts = steps.register(sealed, report, registry.tracking_uri, str(file), drawn)
    again = steps.register(sealed, report, registry.tracking_uri, str(file), drawn)
    assert (again["version"], again["alias"]) == (1, "champion"), "a step that is tried again registers once"
    steps.register(sealed, report, registry.tracking_uri, str(file))
    found.version = registry.version(facts["version"])
    return found


@pytest.fixture
def trained(made: Trained, tmp_path: Path) -> Trained:
    """The same with a repository and an archive of its own."""
    shutil.copytree(made.archive.uri, tmp_path / "archive")
    file = shutil.copytree(made.file.parents[1], tmp_path / "repository") / "models" / "project.py"
    return Trained(file, Archive(tmp_path / "archive", schemas(read_project(file))), made.registry, made.version)


def grow(trained: Trained, declaration: Declaration) -> None:
    """What arrives later, and the upkeep: the newest version holds all payments twice, in other files."""
    topic = Topics.of(declaration).enriched("payment")
    trained.archive.append(topic, trained.archive.read(topic), {(topic, 0): 9_999}, mark=None)
    trained.archive.compact()


def test_the_model_is_identical_whatever_arrived_since(trained: Trained) -> None:
    grow(trained, trained.declaration)
    trained.archive.vacuum(pins(trained.registry), hours=0)
    assert trained.again() == Rebuilt(1, trained.version.sha256, trained.version.sha256)
    assert trained.again(trained.version.run_id).identical


def test_data_that_were_vacuumed_are_named(trained: Trained) -> None:
    grow(trained, trained.declaration)
    assert trained.archive.vacuum({}, hours=0) > 0
    found = trained.again()
    assert not found.identical
    assert "payment" in found.differences[0]
    assert "vacuumed" in found.differences[0]


def test_the_declaration_of_the_commit_is_used(trained: Trained) -> None:
    trained.change("trees: int = 60", "trees: int = 61")
    assert trained.again().identical
    trained.git("commit", "--quiet", "-am", "More trees")
    assert trained.again().identical


def test_a_declaration_that_is_gone_is_told(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(Path(trained.registry.tracking_uri.removeprefix("sqlite:///")).parent, tmp_path / "models")
    command = ["reproduce", str(trained.file), "1", "--home", str(tmp_path)]
    shown = CliRunner().invoke(app, command)
    assert (shown.exit_code, "identical: version 1" in shown.output) == (0, True), shown.output
    trained.change("trees: int = 60", "trees: int = 61")
    shutil.rmtree(trained.file.parents[1] / ".git")
    shown = CliRunner().invoke(app, [*command, "--json"])
    found = json.loads(shown.stdout)
    assert (shown.exit_code, found["identical"], found["sha256"]) == (1, False, None)
    assert "project.py was changed since the run" in found["differences"][0]


def test_what_differs_is_told(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that rests on something that nobody recorded."""
    train = steps.train
    monkeypatch.setattr(steps, "train", lambda project, dataset, parameters, out: (
        train(project, dataset, {**parameters, "trees": 21}, out)))  # fmt: skip
    found = trained.again()
    assert not found.identical
    assert "parameters: trees: 20 then, trees: 21 now" in found.differences


def test_what_is_not_known_is_refused(trained: Trained) -> None:
    with pytest.raises(ModelError, match="run 'abc'"):
        trained.again("abc")
    with pytest.raises(ModelError, match="version 7"):
        trained.again("7")
    with pytest.raises(ModelError, match="does not say up to when"):
        trained.again("2")
