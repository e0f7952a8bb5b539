"""scikit-learn's models predict from served rows what they predict from the training function's data frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from headrace.errors import ModelError
from headrace.models.artifact import Artifact, Span, Spec, load, save
from headrace.models.encoding import Column, Encoding, numbers

KINDS = {"place": pa.string(), "empty": pa.string(), "count": pa.int64(), "price": pa.float64(), "open": pa.bool_()}
ENCODING = Encoding([
    Column("place", "str", ("", "a", "é")), Column("empty", "str", ()), Column("count", "int"),
    Column("price", "float"), Column("open", "bool"),
])  # fmt: skip
ROW = st.fixed_dictionaries({
    "place": st.none() | st.sampled_from(["", "a", "é", "unseen"]),
    "empty": st.none() | st.just("b"),
    "count": st.none() | st.integers(-1_000, 1_000),
    "price": st.none() | st.floats(-1e6, 1e6),
    "open": st.none() | st.booleans(),
})  # fmt: skip


def table_of(found: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in found], kind) for name, kind in KINDS.items()})


def training() -> list[dict[str, Any]]:
    random = np.random.default_rng(5)
    return [
        {
            "place": [None, "", "a", "é"][random.integers(4)],
            "empty": None,
            "count": int(random.integers(-5, 100)),
            "price": None if random.random() < 0.1 else float(random.normal()),
            "open": bool(random.integers(2)),
        }
        for _ in range(300)
    ]


def prepared(encoder: Any) -> ColumnTransformer:
    filled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    return ColumnTransformer([
        ("texts", encoder, make_column_selector(dtype_include="category")),
        ("numbers", filled, make_column_selector(dtype_include="number")),
    ])  # fmt: skip


def ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)


MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: make_pipeline(prepared(OneHotEncoder(handle_unknown="ignore")), LinearRegression()),
    "logistic": lambda: make_pipeline(prepared(ordinal()), LogisticRegression()),
    "forest": lambda: make_pipeline(prepared(ordinal()), RandomForestClassifier(20, n_jobs=2, random_state=0)),
    "boosted": lambda: HistGradientBoostingRegressor(max_iter=20),
    "boosted classifier": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "calibrated": lambda: CalibratedClassifierCV(make_pipeline(prepared(ordinal()), LinearSVC())),
}


def spec_of(encoding: Encoding = ENCODING) -> Spec:
    span = Span(0, 1, 2)
    return Spec("demand", "digest", "regression", "units", encoding, {}, 7, "sklearn 1", span, span, 5, {}, {})


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Artifact]:
    found = training()
    y = np.array([len(row["place"] or "xx") * 3 + row["count"] / 10 + (row["price"] or 0) for row in found])
    model = MODELS[request.param]()
    classifies = request.param not in ("linear", "boosted")
    x = ENCODING.frame(table_of(found))
    if request.param.startswith("boosted"):
        x = x.drop(columns="empty")  # scikit-learn's bins need a value
    model.fit(x, (y > y.mean()).astype(np.int8) if classifies else y)
    folder = tmp_path_factory.mktemp("model")
    save(folder, model, spec_of(), ENCODING.table_matrix(table_of(found)))
    return model, load(folder)


@settings(max_examples=25, deadline=None)
@given(found=st.lists(ROW, min_size=1, max_size=6))
def test_served_rows_mean_what_the_data_frame_meant(
    model: tuple[Any, Artifact], found: list[dict[str, Any]]
) -> None:
    fitted, artifact = model
    x = ENCODING.frame(table_of(found))[list(fitted.feature_names_in_)]
    expected = fitted.predict_proba(x)[:, 1] if hasattr(fitted, "predict_proba") else fitted.predict(x)
    # Sums over columns may be taken in another order for another number of rows.
    np.testing.assert_allclose(artifact.predict(found), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(artifact.predict_table(table_of(found)), artifact.predict(found))
    alone = np.concatenate([artifact.predict([row]) for row in found])
    np.testing.assert_allclose(alone, expected, rtol=1e-12, atol=1e-12)


def test_it_is_explained_in_the_unit_of_its_prediction(model: tuple[Any, Artifact]) -> None:
    pytest.importorskip("shap")
    _, artifact = model
    row = {"place": "é", "count": 40, "price": None, "open": True}
    [told] = artifact.explain([row])
    assert told.base + sum(told.values.values()) == pytest.approx(artifact.predict([row])[0], abs=1e-9)
    assert told.values["empty"] == 0
    assert told == artifact.explain([row])[0]


@settings(deadline=None)
@given(found=st.lists(ROW, min_size=1, max_size=6))
def test_numbers_of_the_data_frame_are_the_served_matrix(found: list[dict[str, Any]]) -> None:
    x = ENCODING.frame(table_of(found))
    np.testing.assert_array_equal(numbers(x), ENCODING.matrix(found))


def frame() -> Any:
    return ENCODING.frame(table_of(training()))


def doubled(x: Any) -> Any:
    return x * 2


LABEL = np.arange(300.0)
PLAIN = Encoding([Column("count", "int"), Column("price", "float")])


@pytest.mark.parametrize(
    ("fitted", "encoding", "cause"),
    [
        (lambda: LinearRegression(), ENCODING, "not fitted"),
        (lambda: LinearSVC().fit(frame()[["count"]], LABEL > 9), ENCODING, "CalibratedClassifierCV"),
        (lambda: LinearRegression().fit(frame()[["count"]].to_numpy(), LABEL), ENCODING, "without column names"),
        (lambda: LinearRegression().fit(frame()[["count"]].to_numpy(), LABEL), PLAIN, "1 nameless"),
        (lambda: LinearRegression().fit(frame()[["count"]].rename(columns=str.upper), LABEL), ENCODING, "COUNT"),
        (
            lambda: make_pipeline(FunctionTransformer(doubled), LinearRegression()).fit(frame()[["count"]], LABEL),
            ENCODING,
            "doubled, which is not known to be safe",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_at_training(
    fitted: Callable[[], Any], encoding: Encoding, cause: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=cause):
        save(tmp_path, fitted(), spec_of(encoding))
    assert not (tmp_path / "model.skops").exists()


def test_some_columns_of_x_are_enough(tmp_path: Path) -> None:
    x = frame()[["count", "open"]]
    model = LinearRegression().fit(x, LABEL)
    save(tmp_path, model, spec_of())
    np.testing.assert_allclose(load(tmp_path).predict_table(table_of(training())), model.predict(x))


def test_an_array_of_the_numbers_of_x_will_do_where_there_is_no_text(tmp_path: Path) -> None:
    x = frame()[["count", "open"]]
    encoding = Encoding([Column("count", "int"), Column("open", "bool")])
    save(tmp_path, LinearRegression().fit(x.to_numpy(), LABEL), spec_of(encoding))
    row = {"count": 3, "open": True}
    assert load(tmp_path).predict([row]) == pytest.approx(
        LinearRegression().fit(x, LABEL).predict(x.assign(**row))[0]
    )


def test_a_file_that_holds_what_is_not_trusted_is_not_read(tmp_path: Path) -> None:
    """Sealed anew by one who can write to the folder: it is refused by what it holds, before any of it is made."""
    from skops import io

    save(tmp_path, LinearRegression().fit(frame()[["count"]], LABEL), spec_of())
    forged = make_pipeline(FunctionTransformer(doubled), LinearRegression()).fit(frame()[["count"]], LABEL)
    io.dump(forged, tmp_path / "model.skops")
    from headrace.models import artifact

    artifact._seal(tmp_path, replace(spec_of(), metrics={}))
    with pytest.raises(ModelError, match="doubled"):
        load(tmp_path)
