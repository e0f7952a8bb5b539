"""Metrics agree with scikit-learn's where they are defined, and are None where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from headrace.models.metrics import metrics

values = st.floats(-1e6, 1e6)
labels = st.just(0.0) | st.floats(1e-3, 1e6) | st.floats(-1e6, -1e-3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(labels, values), min_size=1, max_size=40))
def test_regression(pairs: list[tuple[float, float]]) -> None:
    label, prediction = np.array(pairs).T
    found = metrics("regression", label, prediction)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(label, prediction))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(label, prediction))
    some = label != 0
    assert found["mape_examples"] == some.sum()
    if some.any():
        share = np.mean(np.abs(label[some] - prediction[some]) / np.abs(label[some]))
        assert found["mape"] == pytest.approx(share)
    else:
        assert found["mape"] is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])), min_size=1, max_size=40))
def test_classification(pairs: list[tuple[int, float]]) -> None:
    label, probability = np.array([one for one, _ in pairs]), np.array([two for _, two in pairs])
    found = metrics("classification", label, probability)
    chosen = probability >= 0.5
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(label, chosen))
    assert found["log_loss"] == pytest.approx(
        sk.log_loss(label, np.clip(probability, 1e-15, 1 - 1e-15), labels=[0, 1])
    )
    assert found["positives"] == label.sum()
    if chosen.any():
        assert found["precision"] == pytest.approx(sk.precision_score(label, chosen))
    else:
        assert found["precision"] is None
    if label.any():
        assert found["recall"] == pytest.approx(sk.recall_score(label, chosen))
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(label, probability))
    else:
        assert found["recall"] is found["average_precision"] is None
    if 0 < label.sum() < len(label):
        assert found["auc"] == pytest.approx(sk.roc_auc_score(label, probability))
    else:
        assert found["auc"] is None


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_of_no_examples_all_are_none(task: str) -> None:
    found = metrics(task, [], [])  # type: ignore[arg-type]
    counts = {"examples", "mape_examples", "positives"}
    assert all(value is None for name, value in found.items() if name not in counts)
    assert found["examples"] == 0


def test_a_mean_beyond_all_numbers_is_none() -> None:
    assert metrics("regression", [5e-324, 1.0], [1e6, 1.0])["mape"] is None


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        metrics("regression", [1, 2], [1])
