"""A model predicts the same from the data frame that it was trained on, from a table, and from served rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xgboost import XGBClassifier, XGBRegressor

from headrace.errors import ModelError
from headrace.models.artifact import Artifact, Span, Spec, load, save
from headrace.models.encoding import Column, Encoding

KINDS = {"place": pa.string(), "word": pa.string(), "count": pa.int64(), "price": pa.float64(), "open": pa.bool_()}
LEVELS = ["", "a", "b", "é", "zz", "日本"]
UNSEEN = ["A", "q", "ß", "zzz"]

rows = st.lists(
    st.fixed_dictionaries({
        "place": st.none() | st.sampled_from(LEVELS + UNSEEN),
        "word": st.none() | st.text(max_size=3),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "price": st.none() | st.floats(),
        "open": st.none() | st.booleans(),
    }),
    min_size=1,
    max_size=30,
)  # fmt: skip


def table_of(found: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in found], kind) for name, kind in KINDS.items()})


def training_rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(5)
    return [
        {
            "place": None if random.random() < 0.1 else LEVELS[random.integers(len(LEVELS))],
            "word": LEVELS[random.integers(3)],
            "count": int(random.integers(-5, 100)),
            "price": None if random.random() < 0.1 else float(random.normal()),
            "open": bool(random.integers(2)),
        }
        for _ in range(600)
    ]


def spec_of(encoding: Encoding, task: Any = "regression") -> Spec:
    span = Span(0, 1, 2)
    return Spec("demand", "digest", task, "units", encoding, {"depth": 3}, 7, "xgboost", span, span, 5, {}, {})


@pytest.fixture(scope="module", params=["regression", "classification"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Artifact]:
    """An estimator that splits on categories as sets, and the artifact that was saved of it."""
    found = training_rows()
    encoding = Encoding([
        Column("place", "str", tuple(sorted(LEVELS))),
        Column("word", "str", tuple(sorted(LEVELS[:3]))),
        *(Column(name, kind) for name, kind in (("count", "int"), ("price", "float"), ("open", "bool"))),
    ])  # fmt: skip
    odd = np.array([LEVELS.index(row["place"] or "") % 2 for row in found])
    target = odd * 10 + np.array([row["count"] % 7 for row in found])
    settings_ = {"n_estimators": 15, "max_depth": 4, "enable_categorical": True, "max_cat_to_onehot": 1}
    x = encoding.frame(table_of(found))
    if request.param == "regression":
        fitted = XGBRegressor(**settings_).fit(x, target)
    else:
        fitted = XGBClassifier(**settings_).fit(x, (target > 8).astype(int))
    folder: Path = tmp_path_factory.mktemp(request.param)
    save(folder, fitted, spec_of(encoding, request.param))
    return fitted, load(folder)


def original(fitted: Any, x: Any) -> np.ndarray:
    return fitted.predict_proba(x)[:, 1] if isinstance(fitted, XGBClassifier) else fitted.predict(x)


@settings(max_examples=60, deadline=None)
@given(found=rows)
def test_the_three_paths_agree(model: tuple[Any, Artifact], found: list[dict[str, Any]]) -> None:
    fitted, artifact = model
    served = artifact.predict(found)
    table = table_of(found)
    assert np.array_equal(served, artifact.predict_table(table))
    assert np.array_equal(served, original(fitted, artifact.spec.encoding.frame(table)).astype(np.float64))
    assert np.array_equal(served, np.concatenate([artifact.predict([row]) for row in found]))


def test_the_model_does_use_the_categories(model: tuple[Any, Artifact]) -> None:
    _, artifact = model
    row = {"word": "a", "count": 5, "price": 0.0, "open": True}
    even, odd, missing = artifact.predict([{**row, "place": "b"}, {**row, "place": "a"}, {**row, "place": None}])
    assert odd > even
    assert artifact.predict([{**row, "place": "never seen"}, row]).tolist() == [missing, missing]


@settings(max_examples=60, deadline=None)
@given(found=rows)
def test_matrix_of_rows_is_that_of_the_table(found: list[dict[str, Any]]) -> None:
    encoding = Encoding([
        Column("word", "str", tuple(sorted({row["word"] for row in found if row["word"] is not None}))),
        *(Column(name, kind) for name, kind in (("count", "int"), ("price", "float"), ("open", "bool"))),
    ])  # fmt: skip
    np.testing.assert_array_equal(encoding.matrix(found), encoding.table_matrix(table_of(found)))


def test_levels_are_sorted_and_those_of_the_table() -> None:
    from headrace.declare.declaration import Feature
    from headrace.declare.types import ColumnType

    features = [Feature("place", None, ColumnType("str")), Feature("count", None, ColumnType("int"))]  # type: ignore[arg-type]
    table = pa.table({"place": ["b", None, "a", "b"], "count": [1, 2, 3, 4]})
    encoding = Encoding.frozen(features, table)
    assert encoding.columns == (Column("place", "str", ("a", "b")), Column("count", "int"))
    assert Encoding.from_json(encoding.to_json()) == encoding
    frame = encoding.frame(table)
    assert frame["place"].cat.codes.tolist() == [1, -1, 0, 1]
    assert frame["count"].dtype == np.float64


def test_a_category_that_is_always_null_can_be_trained_on() -> None:
    encoding = Encoding([Column("place", "str", ()), Column("count", "int")])
    table = pa.table({"place": pa.array([None] * 20, pa.string()), "count": list(range(20))})
    fitted = XGBRegressor(n_estimators=2, enable_categorical=True).fit(encoding.frame(table), np.arange(20.0))
    assert np.isfinite(fitted.predict(encoding.frame(table))).all()


@pytest.mark.parametrize("row", [{"place": 3}, {"count": "3"}])
def test_a_value_of_another_kind_is_refused_by_name(row: dict[str, Any]) -> None:
    encoding = Encoding([Column("place", "str", ("a",)), Column("count", "int")])
    with pytest.raises(ModelError, match=next(iter(row))):
        encoding.matrix([row])


def test_a_table_without_the_column_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="count"):
        Encoding([Column("count", "int")]).table_matrix(pa.table({"other": [1]}))
