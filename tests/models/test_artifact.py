"""An artifact is what was saved, or it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from sklearn.linear_model import LinearRegression

from headrace.errors import ModelError
from headrace.models.artifact import Span, Spec, load, restate, save, verify
from headrace.models.baseline import Baseline
from headrace.models.encoding import Column, Encoding

TABLE = pa.table({"units": np.arange(60.0), "place": ["x", "y", "z"] * 20})
ENCODING = Encoding([Column("units", "float"), Column("place", "str", ("x", "y", "z"))])
SPEC = Spec(
    project="demand",
    declaration="d" * 64,
    task="regression",
    label="units_next_7d",
    encoding=ENCODING,
    parameters={"max_depth": 2, "rate": 0.1, "name": "é"},
    seed=7,
    library="xgboost 3",
    trained=Span(0, 100, 50),
    holdout=Span(200, 300, 10),
    embargo=60,
    data={"demand.enriched.sale": 3},
    baselines={"units": Baseline.of_numbers(np.arange(60.0)), "place": Baseline.of_levels(["x", None, "y"])},
)


def fitted(**settings: object) -> xgboost.XGBRegressor:
    model = xgboost.XGBRegressor(n_estimators=4, enable_categorical=True, **settings)
    return model.fit(ENCODING.frame(TABLE), np.arange(60.0) ** 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "model", fitted(), SPEC)
    return tmp_path / "model"


def test_what_is_loaded_is_what_was_saved(folder: Path) -> None:
    artifact = load(folder)
    assert artifact.spec == SPEC
    assert artifact.spec.unseen_from == 160
    np.testing.assert_array_equal(artifact.predict_table(TABLE), fitted().predict(ENCODING.frame(TABLE)))
    assert artifact.predict([]).shape == (0,)


def test_only_three_files_and_none_executable(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.ubj", "sha256", "spec.json"]
    json.loads((folder / "spec.json").read_text())


def test_same_training_same_sha256(folder: Path, tmp_path: Path) -> None:
    assert save(tmp_path / "again", fitted(), SPEC) == load(folder).sha256
    assert save(tmp_path / "deeper", fitted(max_depth=2), SPEC) != load(folder).sha256
    assert save(tmp_path / "other", fitted(), replace(SPEC, seed=8)) != load(folder).sha256


@pytest.mark.parametrize("name", ["model.ubj", "spec.json"])
def test_a_changed_file_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    place = content.index(b"demand") if name == "spec.json" else len(content) // 2
    content[place] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match="changed after it was saved"):
        load(folder)


@pytest.mark.parametrize("name", ["model.ubj", "spec.json", "sha256"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load(folder)


def test_a_folder_that_was_sealed_anew_is_not_what_was_registered(folder: Path, tmp_path: Path) -> None:
    registered = load(folder).sha256
    restate(folder, tmp_path / "forged", metrics={"mae": 0.0})
    load(tmp_path / "forged")
    with pytest.raises(ModelError, match="changed"):
        verify(tmp_path / "forged", registered)


def test_restating_keeps_the_model(folder: Path, tmp_path: Path) -> None:
    restate(folder, tmp_path / "judged", metrics={"mae": 1.5, "mape": None})
    before, after = load(folder), load(tmp_path / "judged")
    assert after.spec == replace(SPEC, metrics={"mae": 1.5, "mape": None})
    np.testing.assert_array_equal(before.predict_table(TABLE), after.predict_table(TABLE))


def test_a_model_of_another_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sklearn"):
        save(tmp_path, LinearRegression(), SPEC)


def test_a_model_that_is_not_fitted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        save(tmp_path, xgboost.XGBRegressor(), SPEC)


def test_several_numbers_an_example_are_refused(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True)
    save(tmp_path, model.fit(ENCODING.frame(TABLE), [0, 1, 2] * 20), SPEC)
    with pytest.raises(ModelError, match="not one"):
        load(tmp_path).predict_table(TABLE)


def test_early_stopping_predicts_from_the_best_round(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, noise = ENCODING.frame(TABLE), random.normal(size=60)
    model = xgboost.XGBRegressor(n_estimators=60, enable_categorical=True, early_stopping_rounds=5)
    model.fit(x[:40], noise[:40], eval_set=[(x[40:], noise[40:])], verbose=False)
    assert model.best_iteration < 50
    save(tmp_path, model, SPEC)
    np.testing.assert_array_equal(load(tmp_path).predict_table(TABLE), model.predict(x))
