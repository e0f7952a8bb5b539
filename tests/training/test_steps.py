"""Each step alone, over files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from headrace.errors import TrainingError
from headrace.models.artifact import load
from headrace.models.registry import Registry
from headrace.training import steps


@pytest.fixture(scope="module", params=["inventory", "fraud"])
def filled(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def dataset(filled: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dataset")
    declaration = filled.declaration
    holdout = 2 * declaration.label.horizon if declaration.name == "demand" else declaration.retrain.holdout
    steps.preprocess(str(declaration.path), str(filled.home / "archive"), filled.until, holdout, str(out))
    return out


@pytest.fixture(scope="module")
def draft(filled: Any, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("draft")
    steps.train(str(filled.declaration.path), str(dataset), {"max_depth": 3}, str(out))
    return out


@pytest.fixture
def registry(place: Path) -> str:
    return f"sqlite:///{place}/models/mlflow.db"


@pytest.fixture
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("work")
    yield folder
    shutil.rmtree(folder)


def judge(dataset: Path, draft: Path, registry: str, work: Path) -> dict[str, Any]:
    steps.evaluate(str(dataset), str(draft), registry, str(work / "sealed"), str(work / "report.json"))
    found: dict[str, Any] = json.loads((work / "report.json").read_text())
    return found


def test_preprocess_keeps_the_embargo(filled: Any, dataset: Path) -> None:
    facts = json.loads((dataset / "facts.json").read_text())
    train, held = (
        pq.read_table(dataset / f"{part}.parquet").column("t").to_numpy() for part in ("train", "holdout")
    )
    assert len(train) == facts["train"] > 100
    assert len(held) == facts["holdout"] > 10
    assert train.max() + filled.declaration.maturity <= facts["cut"] <= held.min()
    assert held.max() + filled.declaration.maturity <= filled.until
    assert facts["immature"] > 0
    titles = {topic.rpartition(".")[2] for topic in facts["data"]}
    assert titles == (
        {"purchase", "store", "supplier"} if "store" in titles else {"payment", "chargeback", "merchant"}
    )


def test_train_freezes_what_it_saw(filled: Any, dataset: Path, draft: Path) -> None:
    artifact, declaration = load(draft), filled.declaration
    table = pq.read_table(dataset / "train.parquet")
    spec = artifact.spec
    assert spec.encoding.names == tuple(feature.name for feature in declaration.features)
    assert spec.parameters == {**declaration.model.parameters, "max_depth": 3}
    assert spec.trained.examples == table.num_rows
    assert spec.holdout.first >= spec.unseen_from
    for feature in declaration.features:
        baseline = spec.baselines[feature.name]
        shares = baseline.counts(table.column(feature.name).to_pylist()) / table.num_rows
        np.testing.assert_allclose(shares, baseline.shares)
    for column in spec.encoding.columns:
        if column.levels is not None:
            seen = {value for value in table.column(column.name).to_pylist() if value is not None}
            assert column.levels == tuple(sorted(seen))


def test_train_twice_is_the_same_to_the_bit(filled: Any, dataset: Path, draft: Path, tmp_path: Path) -> None:
    project = str(filled.declaration.path)
    again = steps.train(project, str(dataset), {"max_depth": 3}, str(tmp_path / "again"))
    deeper = steps.train(project, str(dataset), {"max_depth": 2}, str(tmp_path / "deeper"))
    assert again["sha256"] == load(draft).sha256 != deeper["sha256"]


def test_evaluate_and_register(filled: Any, dataset: Path, draft: Path, registry: str, work: Path) -> None:
    project, metric = str(filled.declaration.path), "mae" if filled.declaration.name == "demand" else "log_loss"
    report = judge(dataset, draft, registry, work)
    assert report["champion"] is report["comparison"] is None
    assert report["model"][metric] < report["naive"][metric]
    sealed = load(work / "sealed")
    assert sealed.spec.metrics == report["model"]
    assert sealed.spec.prediction is not None
    held = pq.read_table(dataset / "holdout.parquet")
    assert abs(sealed.spec.prediction.psi(sealed.spec.prediction.counts(sealed.predict_table(held)))) < 1e-12

    first = steps.register(str(work / "sealed"), str(work / "report.json"), registry, project)
    assert (first["version"], first["alias"]) == (1, "champion")
    models = Registry(registry, filled.declaration.name)
    champion = models.champion()
    assert champion is not None
    assert champion.sha256 == sealed.sha256 == models.load(champion).sha256
    assert champion.tags["declaration"] == filled.declaration.digest

    # The same model again: the champion is judged on the same holdout, and both are compared on unseen examples.
    report = judge(dataset, draft, registry, work)
    assert report["champion"] == {"version": 1, "metrics": report["model"]}
    assert report["comparison"]["challenger"] == report["comparison"]["champion"] == report["model"]
    second = steps.register(str(work / "sealed"), str(work / "report.json"), registry, project)
    assert (second["version"], second["alias"]) == (2, "challenger")


def test_comparison_leaves_out_what_the_champion_saw(
    filled: Any, dataset: Path, draft: Path, registry: str, work: Path
) -> None:
    """A champion that was trained up to later has fewer examples, or none, to be compared on."""
    from dataclasses import replace

    from headrace.models.artifact import restate

    spec, times = load(draft).spec, pq.read_table(dataset / "holdout.parquet").column("t").to_numpy()
    middle = int(np.sort(times)[len(times) // 2])
    late = replace(spec.trained, last=middle - spec.embargo)
    restate(draft, work / "later", trained=late, metrics={})
    models = Registry(registry, filled.declaration.name)
    models.nominate(models.register(work / "later", None, {}))
    report = judge(dataset, draft, registry, work)
    assert report["comparison"]["examples"] == (times >= middle).sum() < len(times)
    assert report["champion"]["metrics"]["examples"] == len(times)


def test_a_champion_with_features_of_old_is_not_compared(
    filled: Any, dataset: Path, draft: Path, registry: str, work: Path
) -> None:
    from headrace.models.artifact import restate
    from headrace.models.encoding import Column, Encoding

    columns = load(draft).spec.encoding.columns
    old = Encoding([Column("dropped", "float"), *columns[1:]])
    restate(draft, work / "old", encoding=old)
    models = Registry(registry, filled.declaration.name)
    models.nominate(models.register(work / "old", None, {}))
    report = judge(dataset, draft, registry, work)
    assert report["champion"] == {"version": 1, "metrics": None}
    assert report["comparison"] is None


def test_a_changed_project_needs_a_new_dataset(filled: Any, dataset: Path, tmp_path: Path) -> None:
    changed = tmp_path / "project.py"
    changed.write_text(filled.declaration.path.read_text() + "\n# changed\n")
    with pytest.raises(TrainingError, match="preprocess"):
        steps.train(str(changed), str(dataset), {}, str(tmp_path / "out"))


def test_labels_of_one_class_are_refused(fraud: Any, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    archive = str(fraud.home / "archive")
    steps.preprocess(str(fraud.declaration.path), archive, fraud.until, fraud.declaration.retrain.holdout, str(out))
    table = pq.read_table(out / "train.parquet")
    label = table.column("label").to_numpy()
    pq.write_table(table.filter(label == 0), out / "train.parquet")
    with pytest.raises(TrainingError, match="charged_back"):
        steps.train(str(fraud.declaration.path), str(out), {}, str(tmp_path / "draft"))


def test_too_little_history_is_told_before_anything_is_trained(fraud: Any, tmp_path: Path) -> None:
    early = fraud.until - 17 * 86_400_000
    with pytest.raises(TrainingError, match="UTC or later"):
        steps.preprocess(
            str(fraud.declaration.path),
            str(fraud.home / "archive"),
            early,
            fraud.declaration.retrain.holdout,
            str(tmp_path),
        )
