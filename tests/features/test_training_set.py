"""The training set of both kinds of project: a grid with a future window, each event with an outcome."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import headrace as hr
from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR, MINUTE
from headrace.declare.load import read_project
from headrace.declare.resolve import resolve
from headrace.errors import DeclarationError
from headrace.features.training_set import complete_training_set, training_set

ROOT = Path(__file__).parents[2]
FRAUD = read_project(ROOT / "tests" / "projects" / "fraud.py")
DEMAND = read_project(ROOT / "examples" / "inventory" / "project.py")
WEEK = 7 * DAY
START = 2500 * WEEK
"""A point of the example's weekly grid."""


def enriched(declaration: Declaration, stream: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Records of a stream; `_arrival` is `_time` where a row does not say."""
    columns = {name: kind.arrow for name, kind in declaration.streams[stream].enriched.items()}
    system = {"_time": pa.int64(), "_arrival": pa.int64(), "_file": pa.string()}
    schema = pa.schema({**columns, **system, "_partition": pa.int64(), "_offset": pa.int64()})
    own = {"_file": None, "_partition": 0}
    time = declaration.streams[stream].time
    full = [
        {**dict.fromkeys(columns), time: row["_time"], "_arrival": row["_time"], **own, "_offset": place, **row}
        for place, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema)


def changes(declaration: Declaration, table: str, rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: kind.arrow for name, kind in declaration.tables[table].columns.items()}
    system = {"_key": pa.string(), "_deleted": pa.bool_(), "_arrival": pa.int64(), "_valid": pa.int64()}
    full = [{"_deleted": False, "_valid": row["_arrival"], **row} for row in rows]
    return pa.Table.from_pylist(full, pa.schema({**columns, **system}))


def purchase(time: int, units: int, category: str = "MILK", store: int = 1, late: int = 0) -> dict[str, Any]:
    return {
        "store_id": store,
        "category": category,
        "region": "west",
        "units": units,
        "price": 1.5,
        "revenue": 1.5 * units,
        "_time": time,
        "_arrival": time + late,
    }


def demand(until: int) -> dict[str, pa.Table]:
    purchases = [
        purchase(START - DAY, 3),
        purchase(START - HOUR, 5, late=2 * HOUR),
        purchase(START - 2 * DAY, 40, category="BREAD", store=2),
        purchase(START + DAY, 7),
        purchase(START + WEEK - 1, 11, late=HOUR),
        purchase(until + HOUR, 1000),
    ]
    stores = [
        {"store_id": store, "region": "west", "_key": str(store), "_arrival": START - WEEK} for store in (1, 2)
    ]
    suppliers = [{"category": "MILK", "supplier": "dairy", "lead_days": 2, "_key": "MILK", "_arrival": START + 1}]
    return {
        "demand.enriched.purchase": enriched(DEMAND, "purchase", purchases),
        "demand.table.store": changes(DEMAND, "store", stores),
        "demand.table.supplier": changes(DEMAND, "supplier", suppliers),
    }


def test_demand_on_the_grid() -> None:
    until = START + WEEK + HOUR
    found = training_set(DEMAND, demand(until).__getitem__, until)
    features = [feature.name for feature in DEMAND.features]
    assert found.table.column_names == ["t", "category", "store_id", *features, "label", "naive"]
    assert (found.immature, found.unlabelled, found.first_version_rows) == (2, 0, {"store": 0, "supplier": 1})
    shown = ["t", "category", "store_id", "sales_7d", "units_7d", "regional_7d", "lead_days", "label", "naive"]
    assert found.table.select(shown).to_pylist() == [
        dict(zip(shown, [START, "BREAD", 2, 1, 40 / 7, 40 / 7, None, 0, 40.0], strict=True)),
        dict(zip(shown, [START, "MILK", 1, 1, 3 / 7, 3 / 7, 2, 18, 3.0], strict=True)),
    ]
    assert found.table.column("category_x_region").to_pylist() == ["BREAD:west", "MILK:west"]


def test_by_event_time_alone_what_had_not_arrived_counts_as_well() -> None:
    until = START + WEEK + HOUR
    served = training_set(DEMAND, demand(until).__getitem__, until).table
    complete = complete_training_set(DEMAND, demand(until).__getitem__, until).table
    assert complete.select(["t", "category", "label", "naive"]) == served.select(
        ["t", "category", "label", "naive"]
    )
    assert served.column("sales_7d").to_pylist() == [1, 1]
    assert complete.column("sales_7d").to_pylist() == [1, 2]


def test_an_example_enters_in_the_instant_in_which_its_label_is_final() -> None:
    before = training_set(DEMAND, demand(START).__getitem__, START + WEEK + HOUR - 1)
    assert (before.table.num_rows, before.immature) == (0, 4)


def test_what_arrives_later_changes_nothing() -> None:
    until = START + WEEK + HOUR
    tables = demand(until)
    known = {
        name: rows.filter(pa.compute.field("_arrival") < until) if "_arrival" in rows.column_names else rows
        for name, rows in tables.items()
    }
    assert (
        training_set(DEMAND, tables.__getitem__, until).table
        == training_set(DEMAND, known.__getitem__, until).table
    )


def payment(name: str, time: int, amount: float, arrival: int | None = None, card: str = "c") -> dict[str, Any]:
    return {
        "payment_id": name,
        "card": card,
        "merchant": "m",
        "sector": "food",
        "amount": amount,
        "_time": time,
        "_arrival": arrival if arrival is not None else time,
    }


def fraud() -> dict[str, pa.Table]:
    payments = [
        payment("one", START, 10.0),
        payment("two", START + MINUTE, 20.0),
        payment("same", START + MINUTE, 30.0),
        payment("late", START + 30_000, 40.0, arrival=START + 2 * MINUTE),
        payment("next", START + 4 * DAY, 50.0),
        payment("open", START + 6 * DAY, 60.0),
    ]
    filed = [("two", START + DAY, 20.0), ("one", START + 3 * DAY, 10.0), ("late", START + DAY, 0.0)]
    chargebacks = [{"payment_id": name, "lost": lost, "_time": time} for name, time, lost in filed]
    merchants = [{"merchant": "m", "sector": "food", "risk": 0.5, "_key": "m", "_arrival": START - 1}]
    return {
        "fraud.enriched.payment": enriched(FRAUD, "payment", payments),
        "fraud.enriched.chargeback": enriched(FRAUD, "chargeback", chargebacks),
        "fraud.table.merchant": changes(FRAUD, "merchant", merchants),
    }


def test_fraud_at_each_payment_which_is_never_in_its_own_history() -> None:
    found = training_set(FRAUD, fraud().__getitem__, START + 8 * DAY)
    assert (found.immature, found.unlabelled, found.first_version_rows) == (1, 0, {"merchant": 0})
    table = found.table
    assert table.column_names == [
        *("t", "payment_id", "card", "merchant", "paid_at"),
        *(feature.name for feature in FRAUD.features),
        *("label", "naive"),
    ]
    shown = ["payment_id", "count_1h", "spent_1d", "max_7d", "label", "naive"]
    assert [tuple(row.values()) for row in table.select(shown).to_pylist()] == [
        ("one", None, None, None, False, None),
        ("two", 1, 10.0, 10.0, True, None),
        ("same", 1, 10.0, 10.0, False, None),
        ("late", 3, 60.0, 30.0, False, None),
        ("next", 0, 0.0, 40.0, False, 0.25),
    ]
    assert table.column("risk").to_pylist() == [0.5] * 5
    assert table.column("same_merchant").to_pylist() == [None, True, True, True, True]


def test_a_label_that_nothing_tells_is_counted_and_left_out() -> None:
    class Sale(hr.Stream, topic="shop.sales", key="sku", time="at", lateness="1m"):
        sku: hr.Str
        price: hr.Float
        at: hr.Time

    shop = hr.Project("shop", entity="sku")

    @shop.features
    def now(request: Any) -> Any:
        return {"sku": request.sku}

    @shop.label(Sale, examples=hr.grid("1d", active="30d"))
    def price(sale: Any) -> Any:
        return hr.future.mean(sale.price, "1d")

    @shop.model(seed=1)
    def train(x: Any, y: Any) -> Any:
        return x

    declaration = resolve(shop.parts, Path("shop.py"), "")
    rows = [{"sku": "a", "price": 2.0, "_time": START + 1}, {"sku": "a", "price": 4.0, "_time": START + 2 * DAY}]
    sales = enriched(declaration, "sale", rows)
    found = training_set(declaration, {"shop.enriched.sale": sales}.__getitem__, START + 4 * DAY)
    assert (found.table.num_rows, found.unlabelled, found.immature) == (1, 1, 2)
    assert found.table.to_pydict() == {"t": [START + 2 * DAY], "sku": ["a"], "label": [4.0], "naive": [None]}


def test_a_feature_with_a_reserved_name_is_refused() -> None:
    shop = hr.Project("shop", entity="sku")

    class Sale(hr.Stream, topic="shop.sales", key="sku", time="at"):
        sku: hr.Str
        at: hr.Time

    @shop.features
    def now(request: Any) -> Any:
        return {"naive": request.sku}

    @shop.label(Sale, examples=hr.grid("1d", active="30d"))
    def sales(sale: Any) -> Any:
        return hr.future.count("1d")

    @shop.model(seed=1)
    def train(x: Any, y: Any) -> Any:
        return x

    with pytest.raises(DeclarationError, match="naive"):
        training_set(resolve(shop.parts, Path("shop.py"), ""), {}.__getitem__, 0)
