"""Folds over runs of events, and the edges of the training kernel (its values are in test_the_law.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare.declaration import View, WindowFeature
from headrace.declare.types import ColumnType, Kind
from headrace.declare.window import FAMILY, Aggregate
from headrace.features.folds import Fold, Slots, extremes, float_sums, moments, whole_sums
from headrace.features.point_in_time import as_if_on_time, window_values

BOUNDED = settings(max_examples=60, deadline=None)
SALE = ibis.table({"sku": "string", "units": "int64", "price": "float64"}, name="record")


@st.composite
def runs(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[list[Any], list[tuple[int, int]]]:
    """Values (None: not known) and runs of them, empty ones too."""
    found = draw(st.lists(st.none() | values, max_size=40))
    place = st.integers(0, len(found))
    pairs = draw(st.lists(st.tuples(place, place), max_size=20))
    return found, [(min(pair), max(pair)) for pair in pairs]


def folded(fold: Fold, pairs: Sequence[tuple[int, int]]) -> Slots:
    left = np.array([pair[0] for pair in pairs], np.int64)
    right = np.array([pair[1] for pair in pairs], np.int64)
    return fold.runs(left, right)


def columns(values: Sequence[Any], kind: type) -> tuple[Any, Any]:
    return np.array([found or 0 for found in values], kind), np.array([found is not None for found in values], bool)


@BOUNDED
@given(drawn=runs(st.integers(-(2**63), 2**63 - 1)))
def test_whole_sums_are_exact(drawn: tuple[list[int | None], list[tuple[int, int]]]) -> None:
    values, pairs = drawn
    n, high, low = folded(whole_sums(*columns(values, np.int64)), pairs)
    for row, (left, right) in enumerate(pairs):
        known = [found for found in values[left:right] if found is not None]
        assert int(n[row]) == len(known)
        assert int(high[row]) * 2**32 + int(low[row]) == sum(known)


@BOUNDED
@given(drawn=runs(st.integers(-(2**63), 2**63 - 1)))
def test_extremes_are_exact(drawn: tuple[list[int | None], list[tuple[int, int]]]) -> None:
    values, pairs = drawn
    n, low, high = folded(extremes(*columns(values, np.int64)), pairs)
    for row, (left, right) in enumerate(pairs):
        known = [found for found in values[left:right] if found is not None]
        assert n[row] == len(known)
        if known:
            assert (low[row], high[row]) == (min(known), max(known))


@BOUNDED
@given(drawn=runs(st.floats(-1e6, 1e6)))
def test_sums_and_moments_of_floats(drawn: tuple[list[float | None], list[tuple[int, int]]]) -> None:
    values, pairs = drawn
    n, total = folded(float_sums(*columns(values, np.float64)), pairs)
    m, mean, squares = folded(moments(*columns(values, np.float64)), pairs)
    for row, (left, right) in enumerate(pairs):
        known = [found for found in values[left:right] if found is not None]
        assert n[row] == m[row] == len(known)
        assert total[row] == pytest.approx(math.fsum(known), rel=1e-12, abs=1e-6)
        if known:
            middle = math.fsum(known) / len(known)
            assert mean[row] == pytest.approx(middle, rel=1e-12, abs=1e-6)
            wanted = math.fsum((found - middle) ** 2 for found in known)
            assert squares[row] == pytest.approx(wanted, rel=1e-9, abs=1e-6)


def window(aggregate: Aggregate, size: int = 60_000, kind: Kind = "int") -> WindowFeature:
    expression = SALE.units if kind == "int" else SALE.price
    expression = None if aggregate == "count" else expression
    view = View(f"{aggregate}_{kind}", "sale", ("sku",), 10_000, FAMILY[aggregate], expression, ColumnType(kind))
    result: Kind = kind if aggregate in ("count", "sum", "min", "max", "first", "last") else "float"
    return WindowFeature(
        f"recent__{aggregate}_{size}", view, aggregate, size, None, ColumnType(result, nullable=True)
    )


def events(*rows: tuple[str | None, int, int, int]) -> pa.Table:
    """Rows of sku, units, event time and arrival."""
    skus, units, happened, arrived = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "sku": pa.array(skus, pa.string()),
            "units": pa.array(units, pa.int64()),
            "price": pa.array([float(found) for found in units], pa.float64()),
            "_time": pa.array(happened, pa.int64()),
            "_arrival": pa.array(arrived, pa.int64()),
            "_file": pa.nulls(len(rows), pa.string()),
            "_partition": pa.array([0] * len(rows), pa.int64()),
            "_offset": pa.array(range(len(rows)), pa.int64()),
        }
    )


def at(table: pa.Table, one: WindowFeature, rows: Sequence[tuple[str | None, int]]) -> list[Any]:
    times = np.array([t for _, t in rows], np.int64)
    found: list[Any] = window_values(table, [one], {one.view.id: [key for key, _ in rows]}, times)[
        one.name
    ].to_pylist()
    return found


def test_without_events_all_is_null_and_without_rows_there_is_nothing() -> None:
    for aggregate in FAMILY:
        if aggregate != "rate":
            assert at(events(), window(aggregate), [("a", 5), (None, 7)]) == [None, None]
            assert at(events(("a", 1, 0, 0)), window(aggregate), []) == []


def test_a_null_key_has_no_value_and_events_without_a_key_do_not_begin_a_view() -> None:
    table = events((None, 1, 0, 0), ("a", 2, 10, 10))
    assert at(table, window("sum"), [("a", 5), ("a", 11), (None, 11), ("b", 11)]) == [None, 2, None, 0]


def test_the_window_is_rounded_out_to_a_hop_at_its_tail_and_exact_at_its_head() -> None:
    table = events(("a", 1, 20_000, 20_000), ("a", 10, 29_999, 29_999), ("a", 100, 80_000, 80_000))
    wanted = {29_999: 1, 30_000: 11, 80_000: 11, 80_001: 111, 89_999: 111, 90_000: 100, 140_000: 100, 150_000: 0}
    assert at(table, window("sum"), [("a", t) for t in wanted]) == list(wanted.values())


def test_what_arrives_late_counts_from_then_on_however_late() -> None:
    table = events(("a", 1, 20_000, 20_000), ("a", 10, 20_001, 500_000), ("a", 100, 40_000, 40_000))
    assert at(table, window("sum"), [("a", 45_000), ("a", 500_000), ("b", 1)]) == [101, 0, None]
    assert at(table, window("sum", 600_000), [("a", 500_000), ("a", 500_001)]) == [101, 111]
    assert at(as_if_on_time(table), window("sum"), [("a", 45_000)]) == [111]
    assert table["_arrival"].to_pylist() == [20_000, 500_000, 40_000]


def test_many_keys_and_sizes_share_views_and_keys_may_be_an_arrow_array() -> None:
    random = np.random.default_rng(3)
    rows = [
        (f"k{random.integers(9)}", int(random.integers(9)), t, t + int(random.integers(9_000)))
        for t in range(0, 10**6, 5_000)
    ]
    table = events(*rows)
    features = [window(aggregate, size) for aggregate in ("sum", "count", "max") for size in (10_000, 60_000)]
    keys = [f"k{n}" for n in random.integers(0, 11, 300)]
    times = random.integers(0, 1_100_000, 300)
    given_keys = {one.view.id: pa.array(keys) if n % 2 else keys for n, one in enumerate(features)}
    found = window_values(table, features, given_keys, times)
    for one in features:
        for key, t, value in zip(keys, times.tolist(), found[one.name].to_pylist(), strict=True):
            inside = [
                units
                for sku, units, happened, arrived in rows
                if sku == key and arrived < t and happened >= (t - one.size) // 10_000 * 10_000
            ]
            begun = any(arrived < t for *_, arrived in rows)
            of_some = {"sum": sum(inside), "count": len(inside), "max": max(inside, default=None)}
            assert value == (of_some[one.aggregate] if begun else None), (one.name, key, t)
