"""What is explained is the prediction: base and values sum to it, in its unit, whatever the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from headrace.errors import MissingExtra, ModelError
from headrace.models.artifact import Artifact, Span, Spec, load, restate, save
from headrace.models.encoding import Column, Encoding
from headrace.models.explanation import LOG, LOGISTIC, through
from headrace.models.kernel_shap import ROWS, KernelShap, background

ENCODING = Encoding([
    Column("place", "str", ("a", "b", "c")), Column("count", "int"), Column("price", "float"),
    Column("open", "bool"),
])  # fmt: skip
OBJECTIVES = [
    "reg:squarederror",
    "binary:logistic",
    "count:poisson",
    "reg:gamma",
    "reg:tweedie",
    "reg:absoluteerror",
]

rows = st.lists(
    st.fixed_dictionaries({
        "place": st.none() | st.sampled_from(["a", "b", "c", "unseen"]),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "price": st.none() | st.floats(),
        "open": st.none() | st.booleans(),
    }),
    min_size=1,
    max_size=8,
)  # fmt: skip


def spec_of(library: str, encoding: Encoding = ENCODING) -> Spec:
    span = Span(0, 1, 2)
    return Spec("demand", "digest", "regression", "units", encoding, {}, 7, library, span, span, 5, {}, {})


def matrix(count: int = 400) -> np.ndarray:
    random = np.random.default_rng(2)
    found = np.column_stack([
        random.integers(-1, 3, count), random.integers(0, 50, count), random.normal(size=count),
        random.integers(0, 2, count),
    ]).astype(float)  # fmt: skip
    found[found[:, 0] < 0, 0] = np.nan
    found[::9, 2] = np.nan
    return found


def target(x: np.ndarray) -> np.ndarray:
    return np.nan_to_num(x[:, 0]) % 2 * 5 + x[:, 1] / 10 + np.nan_to_num(x[:, 2]) * x[:, 3] + 6


@pytest.fixture(scope="module", params=OBJECTIVES)
def trees(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    x, folder = matrix(), tmp_path_factory.mktemp("trees")
    y = target(x)
    data = xgboost.DMatrix(
        ENCODING.matrix_frame(x), y > y.mean() if request.param.startswith("binary") else y, enable_categorical=True
    )
    settings_ = {"objective": request.param, "max_depth": 4, "max_cat_to_onehot": 1}
    save(folder, xgboost.train(settings_, data, 15), spec_of("xgboost"), x)
    return load(folder)


@settings(max_examples=50, deadline=None)
@given(found=rows)
def test_trees_sum_to_the_prediction(trees: Artifact, found: list[dict[str, Any]]) -> None:
    predicted, told = trees.predict(found), trees.explain(found)
    for prediction, explanation in zip(predicted, told, strict=True):
        assert list(explanation.values) == list(ENCODING.names)
        total = explanation.base + sum(explanation.values.values())
        assert total == pytest.approx(prediction, rel=1e-9, abs=1e-9)
    alone = [trees.explain([row])[0] for row in found]
    assert alone == told


def test_trees_need_no_sample_and_no_shap(trees: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    assert sorted(path.name for path in trees.folder.iterdir()) == ["model.ubj", "sha256", "spec.json"]
    [told] = trees.explain([{"place": "a", "count": 3}])
    assert set(told.values) == set(ENCODING.names)


def test_a_link_keeps_signs_and_proportions(tmp_path: Path) -> None:
    x = matrix()
    y = target(x)
    data = xgboost.DMatrix(ENCODING.matrix_frame(x), y > y.mean(), enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, data, 10)
    save(tmp_path, booster, spec_of("xgboost"))
    ours = load(tmp_path).predictor.contributions(x)
    exact = booster.predict(xgboost.DMatrix(x, feature_types=booster.feature_types), pred_contribs=True, validate_features=False)  # noqa: E501  # fmt: skip
    assert 0 < ours[0, -1] < 1
    rate = ours[:, :-1] / np.where(exact[:, :-1] == 0, np.nan, exact[:, :-1])
    spread = np.nanmax(rate, axis=1) / np.nanmin(rate, axis=1)
    assert (rate[~np.isnan(rate)] > 0).all()
    np.testing.assert_allclose(spread, 1, rtol=1e-3)


@settings(deadline=None)
@given(terms=st.lists(st.floats(-30, 30), min_size=2, max_size=6), link=st.sampled_from([LOG, LOGISTIC]))
def test_through_a_link_the_sum_is_that_of_the_margin(terms: list[float], link: Any) -> None:
    row = np.array([terms])
    carried = through(link, row)
    missed = carried.sum() - link.apply(row.sum(axis=1))[0]
    assert abs(missed) <= 1e-9 * np.abs(carried).sum()


def test_where_the_terms_cancel_the_slope_is_that_at_the_base() -> None:
    np.testing.assert_allclose(through(LOGISTIC, np.array([[2.0, -2.0, 0.0]])), [[0.5, -0.5, 0.5]])


def test_an_objective_whose_prediction_is_no_sum_is_refused(tmp_path: Path) -> None:
    x = matrix()
    data = xgboost.DMatrix(x, target(x) > 8)
    save(tmp_path, xgboost.train({"objective": "binary:hinge"}, data, 5), spec_of("xgboost"))
    with pytest.raises(ModelError, match="objective"):
        load(tmp_path).explain([{"count": 3, "price": 1.0, "open": True}])


NUMBERS = Encoding([Column(f"x{place}", "float") for place in range(5)])


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    pytest.importorskip("shap")
    folder = tmp_path_factory.mktemp("linear")
    x = np.random.default_rng(1).normal(size=(300, 5))
    model = LinearRegression().fit(NUMBERS.matrix_frame(x), x @ [1.0, -2.0, 0.0, 3.0, 0.5] + 4)
    save(folder, model, spec_of("sklearn", NUMBERS), x)
    return load(folder)


@settings(max_examples=10, deadline=None)
@given(values=st.lists(st.floats(-100, 100), min_size=5, max_size=5))
def test_kernel_shap_of_a_linear_model_is_what_is_known_of_it(linear: Artifact, values: list[float]) -> None:
    """A coefficient times the distance from the mean of the sample (Lundberg and Lee 2017, corollary 1)."""
    row = dict(zip(NUMBERS.names, values, strict=True))
    [told] = linear.explain([row])
    mean = np.load(linear.folder / "background.npy").mean(axis=0)
    expected = np.array([1.0, -2.0, 0.0, 3.0, 0.5]) * (np.array(values) - mean)
    np.testing.assert_allclose(list(told.values.values()), expected, atol=1e-6)
    assert told.base + sum(told.values.values()) == pytest.approx(linear.predict([row])[0], abs=1e-9)


def test_drawn_subsets_are_the_same_each_time() -> None:
    pytest.importorskip("shap")
    random = np.random.default_rng(4)
    sample = random.normal(size=(20, 14))

    class Product:
        def predict(self, x: np.ndarray) -> np.ndarray:
            return x[:, 0] * x[:, 1] + np.abs(x[:, 2:]).sum(axis=1)

    model, asked = KernelShap(Product(), sample, 3), random.normal(size=(2, 14))
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    first = model.contributions(asked)
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(2)
    np.testing.assert_array_equal(first, model.contributions(asked))
    np.testing.assert_array_equal(first[1:], model.contributions(asked[1:]))
    np.testing.assert_allclose(first.sum(axis=1), Product().predict(asked))


def test_the_sample_is_part_of_what_is_sealed(linear: Artifact, tmp_path: Path) -> None:
    assert np.load(linear.folder / "background.npy").shape == (ROWS, 5)
    restate(linear.folder, tmp_path / "judged", metrics={"mae": 1.0})
    row = {"x0": 1.0, "x1": 2.0, "x2": 3.0, "x3": 4.0, "x4": 5.0}
    assert load(tmp_path / "judged").explain([row]) == linear.explain([row])
    np.save(tmp_path / "judged" / "background.npy", np.zeros((1, 5)))
    with pytest.raises(ModelError, match="changed after it was saved"):
        load(tmp_path / "judged")
    (tmp_path / "judged" / "background.npy").unlink()
    with pytest.raises(ModelError, match="changed after it was saved"):
        load(tmp_path / "judged")


def test_the_sample_is_bounded_and_seeded() -> None:
    x = np.arange(1_000.0).reshape(500, 2)
    np.testing.assert_array_equal(background(x, 3), background(x, 3))
    assert (background(x, 3) != background(x, 4)).any()
    assert background(x[:20], 3).shape == (20, 2)


def test_what_is_missing_is_named() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "shap", None)
        with pytest.raises(MissingExtra, match=r"headrace\[explain\]"):
            KernelShap(LinearRegression(), np.zeros((1, 2)), 1).contributions(np.zeros((1, 2)))
    with pytest.raises(ModelError, match="no sample"):
        KernelShap(LinearRegression(), None, 1).contributions(np.zeros((1, 2)))
