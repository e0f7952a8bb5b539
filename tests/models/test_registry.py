"""The registry's aliases, and that what it loads is what was registered."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from headrace.errors import ModelError
from headrace.models.artifact import Span, Spec, load, save
from headrace.models.encoding import Column, Encoding
from headrace.models.registry import Registry

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


def registry(home: Path) -> Registry:
    return Registry(f"sqlite:///{home}/mlflow.db", "demand")


def test_before_the_first_model_there_is_nothing(tmp_path: Path, home: Path) -> None:
    fresh = registry(tmp_path / "nowhere")
    assert (fresh.champion(), fresh.challenger(), fresh.previous()) == (None, None, None)
    assert not (tmp_path / "nowhere").exists()
    assert registry(home).champion() is None
    with pytest.raises(ModelError, match="version 4"):
        registry(home).version(4)


def test_the_life_of_aliases(home: Path, models: list[Path]) -> None:
    held = registry(home)
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
    other = registry(home)
    assert (other.champion(), other.challenger(), other.previous()) == (first, third, second)
    assert str(other.champion()) == "1"
    assert other.version(3).tags["commit"] == "abc"


@pytest.mark.parametrize("call", ["set_model_version_tag", "set_registered_model_alias",
                                  "delete_registered_model_alias"])  # fmt: skip
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_that_is_cut_short_is_whole_or_nothing_and_can_be_repeated(
    call: str, when: str, home: Path, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = registry(home)
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
    seen = registry(home)
    assert (seen.champion(), seen.challenger(), seen.previous()) in [
        (second, third, first),
        (third, None, second),
    ]
    seen.promote(third)
    assert (seen.champion(), seen.challenger(), seen.previous()) == (third, None, second)


def test_loads_what_was_registered(home: Path, models: list[Path]) -> None:
    held = registry(home)
    version = held.register(models[1], None, {})
    assert version.sha256 == load(models[1]).sha256
    loaded = held.load(version)
    np.testing.assert_array_equal(loaded.predict_table(TABLE), load(models[1]).predict_table(TABLE))
    shutil.rmtree(home / "artifacts")
    assert registry(home).load(version).sha256 == version.sha256


def test_refuses_files_that_were_changed_or_lost(home: Path, models: list[Path]) -> None:
    held = registry(home)
    changed, lost = held.register(models[0], None, {}), held.register(models[1], None, {})
    shutil.copytree(models[2], changed.source.removeprefix("file://"), dirs_exist_ok=True)
    with pytest.raises(ModelError, match="changed"):
        held.load(changed)
    shutil.rmtree(lost.source.removeprefix("file://"))
    with pytest.raises(ModelError, match="version 2"):
        held.load(lost)
    assert not any((home / "cache").iterdir())


def test_a_run_keeps_parameters_metrics_and_tags(home: Path, models: list[Path]) -> None:
    from mlflow import MlflowClient

    held = registry(home)
    run = held.record({"max_depth": 8, "name": "a"}, {"mae": 1.5}, {"declaration": "d"})
    version = held.register(models[0], run, {})
    found = MlflowClient(held.tracking_uri).get_run(version.run_id)
    assert version.run_id == run
    assert found.data.params == {"max_depth": "8", "name": "a"}
    assert found.data.metrics == {"mae": 1.5}
    assert found.data.tags["declaration"] == "d"
    assert found.info.status == "FINISHED"
