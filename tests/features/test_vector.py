"""One resolver: what is served at t is what is trained on at t. Attributes, resolution, calendar, requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.compile.tiles import events_sql, tiles_sql
from headrace.declare.declaration import Declaration
from headrace.declare.keys import key_text
from headrace.declare.resolve import resolve
from headrace.features.contract import Reading, TileRange
from headrace.features.sqlite import SqliteStore
from headrace.features.vector import Served, Vectors, vectors

HOP = 10


def project(ttl: str | None, valid_from: str | None, *, few: bool = False) -> Declaration:
    """Orders of products; a product has a category, a category in a region has a supplier: a chain."""

    class Product(hr.Table, source="p.csv", key="sku", ttl=ttl, valid_from=valid_from):
        sku: hr.Str
        category: hr.Null[hr.Str]
        weight: hr.Null[hr.Float]
        since: hr.Time

    class Supplier(hr.Table, source="s.csv", key=("category", "region"), ttl=ttl):
        category: hr.Str
        region: hr.Int
        lead: hr.Null[hr.Int]

    class Spare(hr.Table, source="x.csv", key="sku"):
        sku: hr.Str
        lead: hr.Int

    class Order(hr.Stream, topic="shop.orders", key="sku", time="at", lateness="20ms"):
        sku: hr.Null[hr.Str]
        region: hr.Null[hr.Int]
        units: hr.Null[hr.Int]
        at: hr.Time

    class Claim(hr.Stream, topic="shop.claims", key="sku", time="at"):
        sku: hr.Str
        at: hr.Time

    shop = hr.Project("shop", entity="sku", timezone="America/New_York", holidays="US")

    @shop.enrich(Order, Product, Spare)
    def known(order: Any, product: Any, spare: Any) -> Any:
        return {
            "category": product.category.fill_null("OTHER"),
            "heavy": product.weight * order.units,
            "spare_lead": spare.lead,
        }

    @shop.windows(Order, every=f"{HOP}ms")
    def past(order: Any) -> Any:
        return {
            "units": hr.window.sum(order.units, "50ms", by="sku"),
            "again": hr.window.count("50ms", by="sku"),
            "kind": hr.window.rate(order.units, "100ms", per="50ms", by=("category", "region")),
            "last": hr.window.last(order.sku, "30ms", by="category"),
            "when": hr.window.last(order.at, "50ms", by="sku"),
            "unused": hr.window.max(order.units, "70ms", by="region"),
        }

    if few:

        @shop.features
        def features(request: Any) -> Any:
            return {"twice": request.units * 2}
    else:

        @shop.features
        def features(request: Any, past: Any, product: Any, supplier: Supplier, calendar: Any) -> Any:
            return {
                "sku": request.sku,
                "heavy": request.heavy,
                "category": request.category,
                "minute": request.at.minute(),
                "weight": product.weight,
                "age": product.since.epoch_seconds(),
                "lead": supplier.lead,
                "units": past.units,
                "again": past.again,
                "kind": past.kind,
                "share": past.units / past.kind.nullif(0.0),
                "same": past.last == request.sku,
                "second": past.when.second(),
                "hour": calendar.hour,
                "holiday": calendar.is_holiday,
            }

    @shop.label(Claim, examples=hr.each(Order))
    def claimed(claim: Any) -> Any:
        return hr.outcome(claim.sku == "a", match="sku", within="1d")

    @shop.model(seed=1)
    def train(x: Any, y: Any) -> Any:
        return x

    return resolve(shop.parts, Path("shop.py"), "")


PROJECTS = {
    "plain": project(None, None),
    "ttl": project("40ms", None),
    "validity": project(None, "since"),
    "both": project("40ms", "since"),
}
START = 1_499_150_400_000 - 200
"""Just before midnight in New York, when the fourth of July begins."""


@dataclass(frozen=True)
class Past:
    """A drawn history. orders: sku, region, units, time, how late. versions: of products and suppliers.

    A product's version has its arrival, and how far its validity lies ahead of it where the table has that.
    """

    orders: list[tuple[str | None, int | None, int | None, int, int]]
    products: list[tuple[str, str | None, float | None, int, bool, int]]
    suppliers: list[tuple[str, int, int | None, int, bool]]
    first: int

    def events(self, declaration: Declaration) -> pa.Table:
        rows = [
            {
                "sku": sku,
                "region": region,
                "units": units,
                "at": time,
                "category": ["OTHER", "x", "y", None][time % 4],
                "heavy": None,
                "spare_lead": None,
                "_time": time,
                "_arrival": time + late,
                "_file": None,
                "_partition": 0,
                "_offset": place,
            }
            for place, (sku, region, units, time, late) in enumerate(self.orders)
        ]
        columns = {name: kind.arrow for name, kind in declaration.streams["order"].enriched.items()}
        system = {"_time": pa.int64(), "_arrival": pa.int64(), "_file": pa.string()}
        return pa.Table.from_pylist(
            rows, pa.schema({**columns, **system, "_partition": pa.int64(), "_offset": pa.int64()})
        )

    def changes(self, declaration: Declaration) -> dict[str, pa.Table]:
        """Every product is known from the start; where validity is declared its first version may lie ahead."""
        dated = declaration.tables["product"].valid_from is not None
        ahead = self.first if dated else 0
        products = [(sku, "x", 0.5, START + ahead, START, False) for sku in ("a", "b")]
        products += [
            (sku, category, weight, START + 1 + at + (later if dated else 0), START + 1 + at, deleted)
            for sku, category, weight, at, deleted, later in sorted(self.products, key=lambda version: version[3])
        ]
        rows: dict[str, list[dict[str, Any]]] = {"product": [], "supplier": []}
        for sku, category, weight, valid, arrival, deleted in products:
            row = {"sku": sku, "category": category, "weight": weight, "since": valid}
            rows["product"].append(change(row, ("sku",), valid, arrival, deleted))
        for place in (("x", 0), ("OTHER", 1)):
            row = {"category": place[0], "region": place[1], "lead": 9}
            rows["supplier"].append(change(row, ("category", "region"), START, START, False))
        for category, region, lead, at, deleted in sorted(self.suppliers, key=lambda version: version[3]):
            if (category, region) in (("x", 0), ("OTHER", 1)):
                row = {"category": category, "region": region, "lead": lead}
                rows["supplier"].append(change(row, ("category", "region"), START + at, START + at, deleted))
        return {title: table_changes(declaration, title, given) for title, given in rows.items()}


def change(row: dict[str, Any], key: Sequence[str], valid: int, arrival: int, deleted: bool) -> dict[str, Any]:
    values = dict.fromkeys(row) if deleted else row
    text = key_text([row[name] for name in key])
    return {**values, "_key": text, "_deleted": deleted, "_arrival": arrival, "_valid": valid}


def table_changes(declaration: Declaration, title: str, rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: kind.arrow for name, kind in declaration.tables[title].columns.items()}
    system = {"_key": pa.string(), "_deleted": pa.bool_(), "_arrival": pa.int64(), "_valid": pa.int64()}
    return pa.Table.from_pylist(rows, pa.schema({**columns, **system}))


def tiles(declaration: Declaration, events: pa.Table) -> pa.Table:
    """What the tile role would have written of some events: one epoch, listed in every view."""
    found = []
    with duckdb.connect() as connection:
        connection.register("events", events)
        for view in declaration.views.values():
            rows = connection.sql(tiles_sql(view, events_sql(view, "events"))).to_arrow_table()
            rows = rows.append_column("view", pa.array([view.id] * rows.num_rows, pa.string()))
            listing = pa.Table.from_pylist([{"view": view.id}], rows.schema)
            found += [rows, listing] if events.num_rows else [rows]
    table = pa.concat_tables(found)
    return table.append_column("epoch", pa.array(["1"] * table.num_rows, pa.string()))


skus = st.sampled_from(["a", "b", "new|", None])
regions = st.sampled_from([0, 1, None])
units = st.one_of(st.none(), st.integers(-5, 5))
moments = st.integers(0, 300)
pasts = st.builds(
    Past,
    st.lists(st.tuples(skus, regions, units, moments.map(lambda at: START + at), st.integers(0, 20)), max_size=10),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["x", "OTHER", None]),
            st.sampled_from([None, 0.25, float("nan")]),
            moments,
            st.booleans(),
            st.sampled_from([0, 0, 1, 40, 200]),
        ),
        max_size=5,
    ),
    st.lists(
        st.tuples(st.sampled_from(["x", "OTHER"]), st.integers(0, 1), units, moments, st.booleans()), max_size=4
    ),
    st.integers(0, 150),
)
requests = st.lists(
    st.fixed_dictionaries(
        {"sku": skus, "region": regions, "units": units, "at": moments.map(lambda at: START + 1000 * at)}
    ),
    min_size=1,
    max_size=4,
)


def examples(declaration: Declaration, asked: Sequence[Mapping[str, Any]], t: int) -> pa.Table:
    columns = {
        name: pa.array([row[name] for row in asked], kind.arrow) for name, kind in declaration.request.items()
    }
    return pa.table({"t": pa.array([t] * len(asked), pa.int64()), **columns})


def serve_at(
    declaration: Declaration, past: Past, arrived: int, clock: int, asked: Sequence[Mapping[str, Any]]
) -> list[Served]:
    """Served from a store that has applied what had arrived before `arrived`."""
    with TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "online.sqlite")
        before = pc.field("_arrival") < arrived
        changes = {title: rows.filter(before) for title, rows in past.changes(declaration).items()}
        store.apply(tiles(declaration, past.events(declaration).filter(before)), changes, {}, None)
        served = Vectors(declaration, store, lambda: clock).serve(asked)
        store.close()
    return served


def trained_at(
    declaration: Declaration, past: Past, asked: Sequence[Mapping[str, Any]], t: int
) -> list[dict[str, Any]]:
    at = examples(declaration, asked, t)
    found = vectors(declaration, at, {"order": past.events(declaration)}, past.changes(declaration))
    rows: list[dict[str, Any]] = found.table.to_pylist()
    return rows


@pytest.mark.parametrize("kind", PROJECTS)
@settings(max_examples=25, deadline=None)
@given(past=pasts, asked=requests, at=st.integers(151, 320))
def test_what_is_served_is_what_is_trained_on(kind: str, past: Past, asked: list[dict[str, Any]], at: int) -> None:
    declaration, t = PROJECTS[kind], START + at
    served = serve_at(declaration, past, t, t, asked)
    assert [each.t for each in served] == [t] * len(asked)
    assert [each.values for each in served] == trained_at(declaration, past, asked, t)


@pytest.mark.parametrize("kind", PROJECTS)
@settings(max_examples=15, deadline=None)
@given(past=pasts, asked=requests, at=st.integers(151, 320), behind=st.integers(1, 150))
def test_a_clock_that_is_behind_gives_way_to_what_was_read(
    kind: str, past: Past, asked: list[dict[str, Any]], at: int, behind: int
) -> None:
    """Events and changes lie ahead of the clock. (Not deletions, nor a view's first event, which have no date.)"""
    declaration, now = PROJECTS[kind], START + at
    orders = [("z", 1, 1, START, 0), *((*order[:4], 0) for order in past.orders if order[3] < now)]
    products = [(*version[:4], False, version[5]) for version in past.products if version[3] + 1 < at]
    suppliers = [(*version[:4], False) for version in past.suppliers if version[3] < at]
    past = Past(orders, products, suppliers, past.first)
    served = serve_at(declaration, past, now, now - behind, asked)
    t = served[0].t
    assert now - behind <= t <= now
    assert {each.t for each in served} == {t}
    assert [each.values for each in served] == trained_at(declaration, past, asked, t)


class Watched:
    """A store that counts what is read of it."""

    def __init__(self, reading: Callable[[Sequence[TileRange]], Reading]) -> None:
        self._reading = reading
        self.reads: list[tuple[list[TileRange], list[tuple[str, str]]]] = []

    def read(self, ranges: Sequence[TileRange], attributes: Sequence[tuple[str, str]], t: int) -> Reading:
        self.reads.append((list(ranges), list(attributes)))
        found = self._reading(ranges)
        return Reading(found.partials, [None] * len(attributes), found.newest, None, None)


def empty(newest: int | None) -> Callable[[Sequence[TileRange]], Reading]:
    return lambda ranges: Reading([None] * len(ranges), [], newest if ranges else None, None, None)


ASKED = [{"sku": "a", "region": 0, "units": 2, "at": START}, {"sku": "a", "region": None, "units": 3, "at": START}]


def test_all_tiles_are_read_at_once_and_each_range_once() -> None:
    store: Any = Watched(empty(None))
    Vectors(PROJECTS["plain"], store, lambda: START + 200).serve(ASKED)
    rounds = [attributes for ranges, attributes in store.reads if not ranges]
    assert rounds == [[("product", "a"), ("product", "a")], [("supplier", "OTHER|0")]]
    [tiles_read] = [ranges for ranges, _ in store.reads if ranges]
    by = [(each.view.by, each.key, each.since - START) for each in tiles_read]
    assert len(set(map(id, (each.view for each in tiles_read)))) == 5
    assert by.count((("sku",), "a", 150)) == 3
    assert sorted(by) == sorted(
        [(("sku",), "a", 150)] * 3 + [(("category", "region"), "OTHER|0", 100), (("category",), "OTHER", 170)]
    )


def test_only_what_the_features_need_is_read() -> None:
    store: Any = Watched(empty(None))
    served = Vectors(project(None, None, few=True), store, lambda: START).serve(ASKED)
    assert [each.values for each in served] == [{"twice": 4}, {"twice": 6}]
    assert [each.unknown for each in served] == [False, False]
    assert all(not ranges and not attributes for ranges, attributes in store.reads)


@pytest.mark.parametrize(("newest", "t", "reads"), [(199, 200, 1), (205, 206, 1), (209, 210, 2), (1000, 1001, 2)])
def test_tiles_are_read_again_only_when_the_first_hop_moves(newest: int, t: int, reads: int) -> None:
    store: Any = Watched(empty(START + newest))
    served = Vectors(PROJECTS["plain"], store, lambda: START + 200).serve(ASKED)
    assert [each.t - START for each in served] == [t, t]
    assert sum(1 for ranges, _ in store.reads if ranges) == reads


def test_an_entity_without_events_is_unknown() -> None:
    past = Past([("a", 0, None, START, 0), ("b", 1, 5, START, 0)], [], [], 0)
    asked = [{**ASKED[0], "sku": sku} for sku in ("a", "b", "c", None)]
    served = serve_at(PROJECTS["plain"], past, START + 20, START + 20, asked)
    assert [each.unknown for each in served] == [False, False, True, True]
    later = serve_at(PROJECTS["plain"], past, START + 20, START + 90, asked)
    assert [each.unknown for each in later] == [True, True, True, True]


def test_the_first_known_version_stands_in_for_what_came_before_it_and_is_counted() -> None:
    declaration = PROJECTS["plain"]
    rows = [
        change(
            {"sku": "a", "category": "x", "weight": 1.0, "since": START}, ("sku",), START + 50, START + 50, False
        ),
        change(
            {"sku": "a", "category": "y", "weight": 2.0, "since": START}, ("sku",), START + 90, START + 90, False
        ),
        change(
            {"sku": "a", "category": None, "weight": 3.0, "since": START}, ("sku",), START + 90, START + 90, False
        ),
        change(
            {"sku": "b", "category": "x", "weight": 4.0, "since": START}, ("sku",), START + 50, START + 50, True
        ),
    ]
    asked = [("a", 10), ("a", 50), ("a", 51), ("a", 90), ("a", 91), ("b", 10), ("b", 60), ("c", 60), (None, 60)]
    at = pa.concat_tables(examples(declaration, [{**ASKED[0], "sku": sku}], START + t) for sku, t in asked)
    found = vectors(
        declaration,
        at,
        {"order": Past([], [], [], 0).events(declaration)},
        {"product": table_changes(declaration, "product", rows)},
    )
    assert found.table["weight"].to_pylist() == [1.0, 1.0, 1.0, 1.0, 3.0, None, None, None, None]
    assert found.table["category"].to_pylist() == ["x", "x", "x", "x", *["OTHER"] * 5]
    assert found.first_version_rows == {"product": 3, "supplier": 0}


def test_an_attribute_is_null_once_it_is_older_than_its_life() -> None:
    declaration = PROJECTS["ttl"]
    past = Past([], [("a", "x", 2.0, 9, False, 0)], [], 0)
    weights = [
        served.values["weight"]
        for t in (50, 51)
        for served in serve_at(declaration, past, START + t, START + t, ASKED[:1])
    ]
    assert weights == [2.0, None]


def test_validity_counts_not_arrival_where_a_table_has_it() -> None:
    declaration = PROJECTS["validity"]
    row = {"sku": "a", "category": "x", "since": START}
    rows = [
        change({**row, "weight": 1.0}, ("sku",), START + 10, START + 5, False),
        change({**row, "weight": 2.0}, ("sku",), START + 30, START + 95, False),
    ]
    at = pa.concat_tables(examples(declaration, ASKED[:1], START + t) for t in (30, 31))
    orders = Past([], [], [], 0).events(declaration)
    found = vectors(declaration, at, {"order": orders}, {"product": table_changes(declaration, "product", rows)})
    assert found.table["weight"].to_pylist() == [1.0, 2.0]
