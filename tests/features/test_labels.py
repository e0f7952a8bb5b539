"""Labels against a naive recomputation; when they are final; the naive forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.declare.declaration import Declaration
from headrace.declare.resolve import resolve
from headrace.features.labels import labels, mature, naive

HORIZON, LATENESS = 100, 30


class Visit(hr.Stream, topic="shop.visits", key="sku", time="at", lateness="30ms"):
    sku: hr.Null[hr.Str]
    mark: hr.Null[hr.Str]
    at: hr.Time


class Sale(hr.Stream, topic="shop.sales", key="sku", time="at", lateness="30ms"):
    sku: hr.Null[hr.Str]
    mark: hr.Null[hr.Str]
    units: hr.Null[hr.Int]
    price: hr.Null[hr.Float]
    at: hr.Time


def project(definition: Any, examples: Any = None) -> Declaration:
    shop = hr.Project("shop", entity="sku")

    @shop.features
    def now(request: Any) -> Any:
        return {"sku": request.sku}

    @shop.label(Sale, examples=examples or hr.each(Visit))
    def target(sale: Any) -> Any:
        return definition(sale)

    @shop.model(seed=1)
    def train(x: Any, y: Any) -> Any:
        return x

    return resolve(shop.parts, Path("shop.py"), "")


FUTURES = {
    "count": project(lambda sale: hr.future.count("100ms")),
    "sum": project(lambda sale: hr.future.sum(sale.units, "100ms")),
    "price": project(lambda sale: hr.future.sum(sale.price, "100ms")),
    "mean": project(lambda sale: hr.future.mean(sale.units, "100ms")),
    "min": project(lambda sale: hr.future.min(sale.units, "100ms")),
    "max": project(lambda sale: hr.future.max(sale.price, "100ms")),
}
LOST = project(lambda sale: hr.outcome(sale.units > 0, match="mark", within="100ms"))
COST = project(lambda sale: hr.outcome(sale.units, match="mark", within="100ms", silence=-1))

Event = tuple[str | None, str | None, int | None, int, int]


def enriched(events: list[Event]) -> pa.Table:
    """Of (sku, mark, units, time, how late); ids fall while rows grow, so that order comes from ids alone."""
    count = len(events)
    rows = list(zip(*events, strict=True)) if events else [()] * 5
    return pa.table(
        {
            "sku": pa.array(rows[0], pa.string()),
            "mark": pa.array(rows[1], pa.string()),
            "units": pa.array(rows[2], pa.int64()),
            "price": pa.array([None if units is None else units * 0.5 for units in rows[2]], pa.float64()),
            "at": pa.array(rows[3], pa.timestamp("ms")),
            "_time": pa.array(rows[3], pa.int64()),
            "_arrival": pa.array([time + late for time, late in zip(rows[3], rows[4], strict=True)], pa.int64()),
            "_file": pa.nulls(count, pa.string()),
            "_partition": pa.array([0] * count, pa.int64()),
            "_offset": pa.array(range(count, 0, -1), pa.int64()),
        }
    )


def points(rows: list[tuple[int, str | None]]) -> pa.Table:
    times, names = zip(*rows, strict=True) if rows else ((), ())
    return pa.table(
        {
            "t": pa.array(times, pa.int64()),
            "sku": pa.array(names, pa.string()),
            "mark": pa.array(names, pa.string()),
        }
    )


names = st.sampled_from(["a", "b", None])
sales = st.lists(
    st.tuples(
        names, names, st.one_of(st.none(), st.integers(-9, 9)), st.integers(0, 400), st.integers(0, LATENESS)
    ),
    max_size=14,
)
examples = st.lists(st.tuples(st.integers(0, 420), st.sampled_from(["a", "b", "new", None])), max_size=6)


def aggregated(kind: str, events: list[Event]) -> Any:
    units = [event[2] for event in events if event[2] is not None]
    match kind:
        case "count":
            return len(events)
        case "sum":
            return sum(units)
        case "price":
            return sum(units) * 0.5
        case "mean":
            return sum(units) / len(units) if units else None
        case "min":
            return min(units) if units else None
        case _:
            return max(units) * 0.5 if units else None


@pytest.mark.parametrize("kind", FUTURES)
@settings(max_examples=15, deadline=None)
@given(events=sales, drawn=examples)
def test_a_future_window_and_its_naive_forecast(
    kind: str, events: list[Event], drawn: list[tuple[int, str | None]]
) -> None:
    declaration, table, at = FUTURES[kind], enriched(events), points(drawn)
    found, forecast = labels(declaration, table, at), naive(declaration, table, at)
    assert found.type == declaration.label.type.arrow
    for place, (t, sku) in enumerate(drawn):
        own = [event for event in events if event[0] == sku]
        ahead = [event for event in own if t <= event[3] < t + HORIZON]
        past = [event for event in own if t - HORIZON <= event[3] < t and event[3] + event[4] < t]
        assert found[place].as_py() == (None if sku is None else aggregated(kind, ahead))
        assert forecast[place].as_py() == (None if sku is None else aggregated(kind, past))


@pytest.mark.parametrize("declaration", [LOST, COST], ids=["condition", "number"])
@settings(max_examples=30, deadline=None)
@given(events=sales, drawn=examples)
def test_an_outcome_is_the_first_match_in_time_and_id_or_silence(
    declaration: Declaration, events: list[Event], drawn: list[tuple[int, str | None]]
) -> None:
    found = labels(declaration, enriched(events), points(drawn))
    assert found.type == declaration.label.type.arrow
    for place, (t, mark) in enumerate(drawn):
        match = [(e[3], -row, e[2]) for row, e in enumerate(events) if e[1] == mark and t <= e[3] < t + HORIZON]
        units = min(match, key=lambda event: event[:2])[2] if match else None
        if mark is None:
            expected: Any = None
        elif declaration is LOST:
            expected = (None if units is None else units > 0) if match else False
        else:
            expected = units if match else -1
        assert found[place].as_py() == expected


@settings(max_examples=30, deadline=None)
@given(events=sales, drawn=examples)
def test_the_naive_forecast_of_an_outcome_is_the_share_of_the_matured(
    events: list[Event], drawn: list[tuple[int, str | None]]
) -> None:
    table, at = enriched(events), points(drawn)
    known = labels(LOST, table, at).to_pylist()
    for (t, _), forecast in zip(drawn, naive(LOST, table, at).to_pylist(), strict=True):
        told = [
            value
            for (before, _), value in zip(drawn, known, strict=True)
            if value is not None and before + HORIZON + LATENESS <= t
        ]
        assert forecast == (sum(told) / len(told) if told else None)


def test_the_window_holds_its_first_instant_and_not_its_last() -> None:
    events = enriched([("a", "a", units, time, 0) for units, time in ((1, 99), (2, 100), (4, 199), (8, 200))])
    assert labels(FUTURES["sum"], events, points([(100, "a")])).to_pylist() == [6]
    assert naive(FUTURES["sum"], events, points([(200, "a")])).to_pylist() == [6.0]
    assert labels(
        COST, events, points([(100, "a"), (101, "a"), (199, "a"), (200, "a"), (201, "a")])
    ).to_pylist() == [
        2,
        4,
        4,
        8,
        -1,
    ]


def test_a_label_is_mature_when_horizon_and_lateness_have_passed() -> None:
    times = np.array([0, 1, 2])
    assert mature(FUTURES["sum"], times, HORIZON + LATENESS + 1).tolist() == [True, True, False]
    assert mature(LOST, times, HORIZON + LATENESS).tolist() == [True, False, False]


def test_an_event_that_is_late_inside_the_horizon_counts_once_the_label_is_mature() -> None:
    events = enriched([("a", "a", 5, HORIZON - 1, LATENESS)])
    example = points([(0, "a")])
    watermark = HORIZON + LATENESS
    known = events.filter(pa.compute.field("_arrival") < watermark)
    assert mature(FUTURES["sum"], np.array([0]), watermark).all()
    assert labels(FUTURES["sum"], known, example).to_pylist() == [5]
    too_early = events.filter(pa.compute.field("_arrival") < watermark - 1)
    assert not mature(FUTURES["sum"], np.array([0]), watermark - 1).any()
    assert labels(FUTURES["sum"], too_early, example).to_pylist() == [0]


@pytest.mark.parametrize("declaration", [FUTURES["sum"], FUTURES["mean"], LOST], ids=["sum", "mean", "outcome"])
@settings(max_examples=15, deadline=None)
@given(events=sales, drawn=examples, watermark=st.integers(0, 600))
def test_a_mature_label_never_changes(
    declaration: Declaration, events: list[Event], drawn: list[tuple[int, str | None]], watermark: int
) -> None:
    at = points(drawn)
    at = at.filter(pa.array(mature(declaration, at.column("t").to_numpy(), watermark)))
    table = enriched(events)
    known = table.filter(pa.compute.field("_arrival") < watermark)
    assert labels(declaration, known, at).equals(labels(declaration, table, at))


def test_a_grid_label_is_exact_at_any_instant() -> None:
    """Predictions are judged at the server's t, which need not lie on the grid."""
    weekly = project(lambda sale: hr.future.sum(sale.units, "100ms"), hr.grid("50ms", active="100ms"))
    events = enriched(
        [("a", None, 1, 103, 0), ("a", None, 2, 104, 0), ("a", None, 4, 203, 0), ("a", None, 8, 204, 0)]
    )
    assert labels(weekly, events, points([(104, "a"), (100, "a")])).to_pylist() == [6, 3]
