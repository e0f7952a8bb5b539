"""Examples: the grid is the same for training and for one live point; an event is an example when it arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.declare.resolve import resolve
from headrace.errors import FeatureError
from headrace.features.examples import active_entities, draw_examples

FRAUD = read_project(Path(__file__).parents[1] / "projects" / "fraud.py")


class Sale(hr.Stream, topic="shop.sales", key="sku", time="sold_at", lateness="1h"):
    sku: hr.Null[hr.Str]
    place: hr.Int
    units: hr.Int
    sold_at: hr.Time


def project(every: str, active: str, offset: str = "0s") -> Declaration:
    shop = hr.Project("shop", entity=("sku", "place"))

    @shop.features
    def now(request: Any) -> Any:
        return {"place": request.place}

    @shop.label(Sale, examples=hr.grid(every, active=active, offset=offset))
    def units(sale: Any) -> Any:
        return hr.future.sum(sale.units, "1d")

    @shop.model(seed=1)
    def train(x: Any, y: Any) -> Any:
        return x

    return resolve(shop.parts, Path("shop.py"), "")


def enriched(events: list[tuple[str | None, int, int, int]]) -> pa.Table:
    columns = list(zip(*events, strict=True)) if events else [(), (), (), ()]
    return pa.table(
        {
            "sku": pa.array(columns[0], pa.string()),
            "place": pa.array(columns[1], pa.int64()),
            "_time": pa.array(columns[2], pa.int64()),
            "_arrival": pa.array(
                [time + late for time, late in zip(columns[2], columns[3], strict=True)], pa.int64()
            ),
        }
    )


sales = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 1), st.integers(0, 90), st.integers(0, 30)),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(
    events=sales,
    every=st.integers(5, 40),
    active=st.integers(1, 60),
    offset=st.integers(0, 70),
    until=st.integers(0, 160),
)
def test_the_grid_holds_at_each_point_the_entities_that_are_active_there(
    events: list[tuple[str | None, int, int, int]], every: int, active: int, offset: int, until: int
) -> None:
    declaration = project(f"{every}ms", f"{active}ms", f"{offset}ms")
    table = enriched(events)
    drawn = draw_examples(declaration, table, until)
    assert drawn.column_names == ["t", "sku", "place"]
    found = [tuple(row.values()) for row in drawn.to_pylist()]
    expected = []
    for t in (t for t in range(until + 1) if (t - offset) % every == 0):
        now = {
            (sku, place)
            for sku, place, time, late in events
            if sku is not None and time + late < t and time >= t - active
        }
        assert [tuple(row.values()) for row in active_entities(declaration, table, t).to_pylist()] == sorted(now)
        expected += [(t, *entity) for entity in sorted(now)]
    assert found == expected


def test_an_event_makes_its_entity_active_only_once_it_has_arrived() -> None:
    declaration = project("10ms", "100ms")
    drawn = draw_examples(declaration, enriched([("a", 0, 10, 10)]), 200)
    assert drawn.column("t").to_pylist() == [30, 40, 50, 60, 70, 80, 90, 100, 110]


def payments(rows: list[tuple[str, int, int, int, int]]) -> pa.Table:
    names, times, arrivals, partitions, offsets = zip(*rows, strict=True)
    return pa.table(
        {
            "payment_id": names,
            "card": ["c"] * len(rows),
            "merchant": ["m"] * len(rows),
            "amount": [1.0] * len(rows),
            "paid_at": pa.array(times, pa.timestamp("ms")),
            "sector": ["s"] * len(rows),
            "_time": times,
            "_arrival": arrivals,
            "_file": pa.nulls(len(rows), pa.string()),
            "_partition": partitions,
            "_offset": offsets,
        }
    )


def test_each_event_is_an_example_at_its_arrival_with_its_id() -> None:
    events = payments(
        [("late", 10, 90, 0, 1), ("soon", 20, 20, 1, 0), ("same", 20, 20, 0, 0), ("after", 95, 101, 0, 2)]
    )
    drawn = draw_examples(FRAUD, events, 100)
    assert drawn.column_names == ["t", *FRAUD.request, "_file", "_partition", "_offset"]
    assert drawn.select(["t", "payment_id"]).to_pydict() == {
        "t": [20, 20, 90],
        "payment_id": ["same", "soon", "late"],
    }


def test_nothing_is_active_where_examples_are_events() -> None:
    with pytest.raises(FeatureError, match="charged_back"):
        active_entities(FRAUD, payments([("a", 1, 1, 0, 0)]), 5)
