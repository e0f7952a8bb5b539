"""The registry's aliases, and that what it loads is what was registered."""

from __future__ import annotations

import json
import shutil
import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import ModelError
from headrace.models.artifact import Span, Spec, load, save
from headrace.models.baseline import Baseline
from headrace.models.encoding import Column, Encoding
from headrace.models.registry import Registry, Version

ENCODING = Encoding([Column("units", "float")])
TABLE = pa.table({"units": np.arange(40.0)})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three artifacts that differ."""
    folders = []
    for depth in (1, 2, 3):
        span = Span(0, 1, 2)
        spec = Spec(
            "demand", "d", "regression", "l", ENCODING, {"depth": depth}, 7, "xgboost", span, span, 5, {}, {}
        )
        model = xgboost.XGBRegressor(n_estimators=2, max_depth=depth).fit(
            ENCODING.frame(TABLE), np.arange(40.0) ** 2
        )
        folder = tmp_path_factory.mktemp(f"depth{depth}")
        save(folder, model, spec)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's home without a model; its migrations take seconds, so they run once."""
    home = tmp_path_factory.mktemp("empty")
    Registry(f"sqlite:///{home}/mlflow.db", "other").record({}, {}, {})
    return home


@pytest.fixture
def home(empty: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(empty, tmp_path / "registry"))


class Place:
    """A registry that is empty: on SQLite, or behind the tracking server."""

    def __init__(self, uri: str, project: str, home: Path, artifacts: Path | None) -> None:
        self.uri, self.project, self.home, self._artifacts = uri, project, home, artifacts

    def open(self) -> Registry:
        return Registry(self.uri, self.project, self.home / "cache")

    def files(self, version: Version) -> Path:
        if self._artifacts is None:
            return Path(version.source.removeprefix("file://"))
        return self._artifacts / version.source.removeprefix("mlflow-artifacts:/")


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.faults)])
def place(request: pytest.FixtureRequest, empty: Path, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        home = request.getfixturevalue("home")
        return Place(f"sqlite:///{home}/mlflow.db", "demand", home, None)
    uri, artifacts = request.getfixturevalue("tracking_server")
    return Place(uri, f"demand-{uuid.uuid4().hex[:8]}", tmp_path, artifacts)


def test_before_the_first_model_there_is_nothing(tmp_path: Path, place: Place) -> None:
    for found in (Registry(f"sqlite:///{tmp_path}/nowhere/mlflow.db", "demand"), place.open()):
        assert (found.champion(), found.challenger(), found.previous()) == (None, None, None)
        assert (found.versions(), found.runs(), found.of_job("x")) == ([], [], None)
        assert found.run("0" * 32) is None
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ModelError, match="version 4"):
        place.open().version(4)


def test_the_life_of_aliases(place: Place, models: list[Path]) -> None:
    held = place.open()
    first, second, third = (held.register(folder, None, {"commit": "abc"}) for folder in models)
    assert [version.number for version in (first, second, third)] == [1, 2, 3]
    assert held.nominate(first) == "champion"
    assert held.nominate(second) == "challenger"
    assert (held.champion(), held.challenger(), held.previous()) == (first, second, None)
    held.promote(second)
    assert (held.champion(), held.challenger(), held.previous()) == (second, None, first)
    held.promote(second)
    assert (held.champion(), held.previous()) == (second, first)
    assert held.nominate(third) == "challenger"
    held.promote(first)
    other = place.open()
    assert (other.champion(), other.challenger(), other.previous()) == (first, third, second)
    assert str(other.champion()) == "1"
    assert other.version(3).tags["commit"] == "abc"


@pytest.mark.parametrize("call", ["set_model_version_tag", "set_registered_model_alias",
                                  "delete_registered_model_alias"])  # fmt: skip
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_that_is_cut_short_is_whole_or_nothing_and_can_be_repeated(
    call: str, when: str, place: Place, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = place.open()
    first, second, third = (held.register(folder, None, {}) for folder in models)
    held.nominate(first)
    held.promote(second)
    held.nominate(third)
    client = held._client
    real = getattr(client, call)

    def killed(*arguments: str) -> None:
        if when == "after":
            real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(client, call, killed)
    with pytest.raises(KeyboardInterrupt):
        held.promote(third)
    monkeypatch.undo()
    seen = place.open()
    assert (seen.champion(), seen.challenger(), seen.previous()) in [
        (second, third, first),
        (third, None, second),
    ]
    seen.promote(third)
    assert (seen.champion(), seen.challenger(), seen.previous()) == (third, None, second)


def test_loads_what_was_registered(place: Place, models: list[Path]) -> None:
    held = place.open()
    version = held.register(models[1], None, {})
    assert version.sha256 == load(models[1]).sha256
    loaded = held.load(version)
    np.testing.assert_array_equal(loaded.predict_table(TABLE), load(models[1]).predict_table(TABLE))
    shutil.rmtree(place.files(version))
    assert place.open().load(version).sha256 == version.sha256


def test_refuses_files_that_were_changed_or_lost(place: Place, models: list[Path]) -> None:
    held = place.open()
    changed, lost = held.register(models[0], None, {}), held.register(models[1], None, {})
    shutil.copytree(models[2], place.files(changed), dirs_exist_ok=True)
    with pytest.raises(ModelError, match="changed"):
        held.load(changed)
    shutil.rmtree(place.files(lost))
    with pytest.raises(ModelError, match="version 2"):
        held.load(lost)
    assert not any((place.home / "cache").iterdir())


def test_a_run_keeps_parameters_metrics_tags_and_files(place: Place, models: list[Path], tmp_path: Path) -> None:
    from mlflow import MlflowClient

    held = place.open()
    (tmp_path / "report.html").write_text("<p>good")
    tags = {"declaration": "d", "data": '{"sales": 3}', "job": "j1"}
    run = held.record({"max_depth": 8, "name": "a"}, {"mae": 1.5}, tags, [tmp_path / "report.html"])
    version = held.register(models[0], run, tags)
    found = held.run(version.run_id)
    assert found is not None
    assert version.run_id == run == found.id
    assert found.parameters == {"max_depth": "8", "name": "a"}
    assert found.metrics == {"mae": 1.5}
    assert (found.tags["declaration"], found.data, found.status) == ("d", {"sales": 3}, "FINISHED")
    assert [one.id for one in held.runs()] == [run]
    assert held.of_job("j1") == version
    assert held.versions() == [version]
    client = MlflowClient(held.tracking_uri)
    assert "report.html" in [file.path for file in client.list_artifacts(run)]
    (drawn,) = client.get_run(run).inputs.dataset_inputs
    assert json.loads(drawn.dataset.source) == {"archive": "", "versions": {"sales": 3}}


def test_all_of_many_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across the pages in which MLflow answers."""
    held = place.open()
    made = [held.record({}, {}, {}) for _ in range(5)]
    client = held._client
    search = client.search_runs
    monkeypatch.setattr(client, "search_runs", lambda *given, **page: search(*given, max_results=2, **page))
    assert {run.id for run in held.runs()} == set(made)


def test_a_server_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ModelError, match="does not answer"):
        Registry("http://127.0.0.1:1", "demand").champion()


@given(rows=st.lists(st.fixed_dictionaries({
    "units": st.none() | st.floats(-1e300, 1e300),
    "count": st.none() | st.integers(-10**15, 10**15),
    "open": st.none() | st.booleans(),
    "place": st.none() | st.sampled_from(["here", "there", "nowhere"]),
}), min_size=1, max_size=8))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_mlflow_predicts_what_headrace_serves(rows: list[dict[str, Any]], mixed: Any) -> None:
    artifact, model = mixed
    table = pa.Table.from_pylist(rows, schema=MIXED)
    expected = artifact.predict(rows)
    np.testing.assert_array_equal(model.predict(table.to_pandas()), expected)
    np.testing.assert_array_equal(artifact.predict_table(table), expected)


MIXED = pa.schema([("units", pa.float64()), ("count", pa.int64()), ("open", pa.bool_()), ("place", pa.string())])


@pytest.fixture(scope="module")
def mixed(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model over a column of each kind: as Headrace has it, and as MLflow loads the champion."""
    import mlflow

    home = Path(shutil.copytree(empty, tmp_path_factory.mktemp("mixed") / "registry"))
    levels = ("here", "there")
    kinds = (("units", "float", None), ("count", "int", None), ("open", "bool", None), ("place", "str", levels))
    encoding = Encoding([Column(*kind) for kind in kinds])
    random = np.random.default_rng(3)
    count = random.integers(-9, 9, 200)
    table = pa.table({
        "units": random.normal(size=200), "count": [int(one) or None for one in count],
        "open": random.random(200) < 0.5, "place": random.choice(levels, 200),
    })  # fmt: skip
    y = encoding.table_matrix(table)[:, 0] + count
    model = xgboost.XGBRegressor(n_estimators=9, max_depth=4, enable_categorical=True).fit(encoding.frame(table), y)
    span = Span(0, 1, 2)
    baselines = {"count": Baseline.of_numbers(table["count"].to_pylist())}
    spec = Spec("demand", "d", "regression", "l", encoding, {}, 7, "xgboost", span, span, 5, {}, baselines)
    save(home / "artifact", model, spec)
    held = Registry(f"sqlite:///{home}/mlflow.db", "demand")
    held.nominate(held.register(home / "artifact", None, {}))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(held.tracking_uri)
    with warnings.catch_warnings(action="ignore"):
        info = mlflow.models.get_model_info("models:/demand@champion")
        loaded = mlflow.pyfunc.load_model("models:/demand@champion")
    mlflow.set_tracking_uri(before)
    assert info.signature.inputs.input_names() == list(encoding.names)
    assert info.saved_input_example_info["artifact_path"] == "input_example.json"
    return load(home / "artifact"), loaded
