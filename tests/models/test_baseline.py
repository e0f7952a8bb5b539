"""Bins hold every value once; PSI is 0 for the training distribution and grows with drift."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.models.baseline import Baseline, psi

numbers = st.none() | st.floats(allow_infinity=False, min_value=-1e30, max_value=1e30) | st.integers(0, 3)
texts = st.none() | st.text(max_size=2)


@settings(max_examples=100, deadline=None)
@given(trained=st.lists(numbers, max_size=60), live=st.lists(numbers, max_size=60))
def test_numbers_fall_into_one_bin_each(trained: list[float | None], live: list[float | None]) -> None:
    baseline = Baseline.of_numbers(trained)
    counts = baseline.counts(live)
    assert counts.sum() == len(live)
    assert len(counts) == baseline.bins == len(baseline.names) == len(baseline.shares)
    assert counts.tolist() == np.bincount([baseline.bin(value) for value in live], minlength=baseline.bins).tolist()
    assert counts[0] == sum(value is None or value != value for value in live)
    assert Baseline.from_json(json.loads(json.dumps(baseline.to_json()))) == baseline
    assert abs(baseline.psi(baseline.counts(trained))) < 1e-12


@settings(max_examples=100, deadline=None)
@given(trained=st.lists(texts, max_size=60), live=st.lists(texts, max_size=60))
def test_levels_fall_into_one_bin_each(trained: list[str | None], live: list[str | None]) -> None:
    baseline = Baseline.of_levels(trained)
    counts = baseline.counts(live)
    assert counts.sum() == len(live)
    assert len(counts) == baseline.bins == len(baseline.names)
    known = set(baseline.levels or ())
    assert counts[-1] == sum(value is not None and value not in known for value in live)
    assert Baseline.from_json(json.loads(json.dumps(baseline.to_json()))) == baseline
    assert abs(baseline.psi(baseline.counts(trained))) < 1e-12


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_psi_is_never_negative(pairs: list[tuple[int, int]]) -> None:
    expected, counts = zip(*pairs, strict=True)
    shares = np.array(expected) / max(sum(expected), 1)
    if sum(expected):
        assert psi(shares.tolist(), counts) >= -1e-12


def test_ten_bins_with_as_many_examples_each() -> None:
    baseline = Baseline.of_numbers(np.random.default_rng(0).normal(size=10_000))
    assert len(baseline.edges or ()) == 9
    np.testing.assert_allclose(baseline.shares[1:], 0.1, atol=0.001)


def test_a_constant_and_a_bool_show_a_change() -> None:
    constant, never = Baseline.of_numbers([3.0] * 100), Baseline.of_bools([False] * 100)
    assert constant.psi(constant.counts([3.0] * 50)) == 0
    assert constant.psi(constant.counts([4.0] * 50)) > 1
    assert never.psi(never.counts([True] * 50)) > 1


def test_drift_grows_with_the_shift_and_matches_the_known_value() -> None:
    random = np.random.default_rng(1)
    baseline = Baseline.of_numbers(random.normal(size=20_000))
    found = [baseline.psi(baseline.counts(random.normal(shift, size=20_000))) for shift in (0.0, 0.2, 0.5, 1.0)]
    assert found == sorted(found)
    assert found[0] < 0.005
    # Between two normals of unit variance the divergence is the shift squared; ten bins see most of it.
    assert 0.8 < found[3] < 1.0


def test_psi_by_hand() -> None:
    # n = 8, two bins: p = (4 + 1) / 10, q = (6 + 1) / 10 and (2 + 1) / 10.
    by_hand = 0.2 * np.log(0.7 / 0.5) - 0.2 * np.log(0.3 / 0.5)
    assert abs(psi([0.5, 0.5], [6, 2]) - by_hand) < 1e-12
    assert psi([0.5, 0.5], [0, 0]) == 0
