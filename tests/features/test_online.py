"""Through the real tiler and log into the online store: the law again, and the sink's own duties."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import headrace as hr
from headrace import Float, Int, Null, Str, Stream, Table, Time, future, window
from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR, MINUTE
from headrace.declare.resolve import resolve
from headrace.declare.topics import Topics
from headrace.errors import FeatureError, LogError
from headrace.features.contract import TileRange
from headrace.features.online import OnlineSink
from headrace.features.partials import Partial, value
from headrace.features.point_in_time import window_values
from headrace.features.sqlite import SqliteStore
from headrace.log.batches import Batch, Block, Content, Framed, Mark, Record
from headrace.log.consumer import Consumer
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.folder import FolderSchemas
from headrace.stream.layouts import TILES, change_columns, enriched_columns
from headrace.stream.tiler import Tiler, listing, tiles_of


class Supplier(Table, source="suppliers.csv", key="sku"):
    sku: Str
    days: Null[Int]


class Sale(Stream, topic="shop.sales", key="sku", time="sold_at", lateness="10m"):
    sku: Str
    units: Int
    price: Null[Float]
    sold_at: Time


shop = hr.Project("shop", entity="sku")


@shop.windows(Sale)
def recent(sale):
    return {
        "count_5m": window.count("5m", by="sku"),
        "units_1h": window.sum(sale.units, "1h", by="sku"),
        "spread_1h": window.variance(sale.price, "1h", by="sku"),
        "dearest_1h": window.max(sale.price, "1h", by="sku"),
        "last_1d": window.last(sale.price, "1d", by="sku"),
    }


@shop.features
def now(recent, supplier):
    return {"units": recent.units_1h, "days": supplier.days}


@shop.label(Sale, examples=hr.grid("1h", active="1h"))
def units_next_hour(sale):
    return future.sum(sale.units, "1h")


@shop.model(seed=1)
def train(x, y):
    raise NotImplementedError


SHOP: Declaration = resolve(shop.parts, Path(__file__), "digest")
TOPICS = Topics.of(SHOP)
START = 1_700_000_000_000 // DAY * DAY


@dataclass
class Place:
    """One machine: the log, the tiler and the store."""

    folder: Path
    log: SqliteLog
    schemas: FolderSchemas
    store: SqliteStore

    def consumer(self) -> Consumer:
        """A new one, as after a restart."""
        sink = OnlineSink(SHOP, self.schemas, self.store)
        return Consumer(self.log, sink.topics, sink, limit=7)

    def values(self, sku: str, t: int) -> dict[str, Any]:
        windows = list(SHOP.windows.values())
        ranges = [TileRange(w.view, sku, (t - w.size) // w.view.hop * w.view.hop) for w in windows]
        reading = self.store.read(ranges, [], t)
        return {w.name: value(w, partial) for w, partial in zip(windows, reading.partials, strict=True)}

    def batch(self, topic: str, columns: Any, table: pa.Table, offset: int = 0) -> Batch:
        known = self.schemas.register(f"{topic}-value", nullable_schema(topic, columns))
        return Batch(topic, 0, offset, encode_block(table, known.id, arrival=0))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(
        tmp_path,
        SqliteLog(tmp_path / "log"),
        FolderSchemas(tmp_path / "schemas"),
        SqliteStore(tmp_path / "online.sqlite"),
    )
    yield found
    found.store.close()
    found.log.close()


def drained(*steps: Any) -> None:
    while sum(step() for step in steps):
        pass


def sales(seed: int, count: int) -> pa.Table:
    """Enriched records in the order of arrival, many of them late or at one time."""
    random = np.random.default_rng(seed)
    happened = START + random.integers(0, 40, count) * 3 * MINUTE + random.integers(0, 3, count)
    arrived = happened + random.choice([0, 1, 30_000, 9 * MINUTE, 3 * HOUR], count)
    order = np.argsort(arrived, kind="stable")
    price = 1e9 + random.random(count)
    return pa.table(
        {
            "sku": pa.array(random.choice(["a", "b|", "ü"], count)),
            "units": random.integers(-5, 2**40, count),
            "price": pa.array(price, mask=random.random(count) < 0.2),
            "sold_at": pa.array(happened[order]).cast(pa.timestamp("ms")),
            "_time": happened[order],
            "_arrival": arrived[order],
            "_file": pa.nulls(count, pa.string()),
            "_partition": np.zeros(count, np.int64),
            "_offset": np.arange(count),
        }
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_the_law_holds_through_the_tiler_the_log_and_the_sink(place: Place, seed: int) -> None:
    topic, columns = TOPICS.enriched("sale"), enriched_columns(SHOP.streams["sale"])
    table = sales(seed, 120).select(list(columns))
    known = place.schemas.register(f"{topic}-value", nullable_schema(topic, columns))
    place.log.create(Topic(topic, "enrich", 1))
    writer = place.log.writer("enrich")
    tiler = Tiler(SHOP, place.log, place.schemas, lambda view, below: None, limit=16)
    consumer = place.consumer()
    random = np.random.default_rng(seed)
    arrived = table["_arrival"].to_numpy()
    rows, served, begun = [], [], 0
    for t in sorted(random.choice(arrived, 6, replace=False) + random.integers(0, 3, 6)):
        end = int(np.searchsorted(arrived, t))
        with writer.transaction() as transaction:
            transaction.append(topic, 0, encode_block(table.slice(begun, end - begun), known.id, int(t) - 1))
        begun = end
        drained(tiler.step, consumer.step)
        for sku in ("a", "b|", "ü", "nobody"):
            rows.append((sku, int(t)))
            served.append(place.values(sku, int(t)))
        consumer = place.consumer()
    writer.close()
    tiler.close()
    windows = list(SHOP.windows.values())
    keys = {w.view.id: [sku for sku, _ in rows] for w in windows}
    trained = window_values(table, windows, keys, np.array([t for _, t in rows], np.int64))
    for window_, row in ((w, n) for w in windows for n in range(len(rows))):
        one, other = served[row][window_.name], trained[window_.name][row].as_py()
        if window_.aggregate == "variance" and one is not None:
            assert one == pytest.approx(other, rel=1e-5, abs=1e-9), (window_.name, rows[row])
        else:
            assert one == other, (window_.name, rows[row])
    assert any(found["recent__units_1h"] for found in served)


def tile(hop: int, n: int, key: str = "a", view: str = "units_1h") -> tuple[Any, pa.Table]:
    found = SHOP.windows[f"recent__{view}"].view
    columns = {name: pa.nulls(1, kind.arrow) for name, kind in TILES.items() if name not in ("view", "epoch")}
    columns |= {
        name: pa.array([number]) for name, number in (("hop", hop), ("newest", hop + 1), ("n", n), ("a_int", n))
    }
    columns["key"] = pa.array([key])
    return found, pa.table(columns)


def units(place: Place) -> Partial | None:
    view = SHOP.windows["recent__units_1h"].view
    return place.store.read([TileRange(view, "a", 0)], [], START).partials[0]


def test_history_appears_when_it_is_listed(place: Place) -> None:
    sink = OnlineSink(SHOP, place.schemas, place.store)
    view, past = tile(START - MINUTE, 5)
    _, live = tile(START, 2)
    first = place.batch(TOPICS.history, TILES, tiles_of(view, "backfill-1", past))
    own = place.batch(
        TOPICS.tiles, TILES, pa.concat_tables([listing(view, ["live"]), tiles_of(view, "live", live)])
    )
    sink.apply([first, own], {(TOPICS.history, 0): 1, (TOPICS.tiles, 0): 2}, None)
    assert units(place) == Partial(2, 2)
    last = place.batch(TOPICS.history, TILES, listing(view, ["backfill-1"]), offset=1)
    sink.apply([last], {(TOPICS.history, 0): 2, (TOPICS.tiles, 0): 2}, None)
    assert units(place) == Partial(7, 7)
    assert sink.position() == {(TOPICS.history, 0): 2, (TOPICS.tiles, 0): 2}


def test_changes_of_a_table_are_attributes_and_a_mark_is_kept(place: Place) -> None:
    topic, columns = TOPICS.table("supplier"), change_columns(SHOP.tables["supplier"])
    rows = [
        {"sku": "a", "days": 3, "_key": "a", "_deleted": False, "_arrival": 5, "_valid": 5},
        {"sku": "b", "days": None, "_key": "b", "_deleted": False, "_arrival": 5, "_valid": 5},
        {"_key": "a", "_deleted": True, "_arrival": 9, "_valid": 9},
    ]
    schema = pa.schema([(name, kind.arrow) for name, kind in columns.items()])
    sink = OnlineSink(SHOP, place.schemas, place.store)
    batch = place.batch(topic, columns, pa.Table.from_pylist(rows, schema))
    sink.apply([batch, Batch(topic, 0, 3, Mark(10))], {(topic, 0): 4}, 10)
    reading = place.store.read([], [("supplier", "a"), ("supplier", "b")], 10)
    assert reading.rows == [None, {"sku": "b", "days": None, "_valid": 5}]
    assert (reading.mark, sink.mark()) == (10, 10)


def test_what_no_window_reaches_is_dropped_by_the_clock_of_the_data(place: Place) -> None:
    sink = OnlineSink(SHOP, place.schemas, place.store)
    view = tile(0, 0)[0]
    hops = range(START, START + 6 * HOUR, 10 * MINUTE)
    tables = [listing(view, ["live"]), *(tiles_of(view, "live", tile(hop, 1)[1]) for hop in hops)]
    seen = []
    for offset, table in enumerate(tables):
        sink.apply([place.batch(TOPICS.tiles, TILES, table, offset)], {(TOPICS.tiles, 0): offset + 1}, None)
        seen.append(units(place) or Partial(0))
    window_ = SHOP.windows["recent__units_1h"]
    reached = [hop for hop in hops if hop >= hops[-1] - window_.size]
    assert place.store.read([TileRange(view, "a", reached[0])], [], START).partials == [
        Partial(len(reached), len(reached))
    ]
    assert max(one.n for one in seen) < 12
    assert seen[-1].n < 12


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "online.sqlite"
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FeatureError, match=r"online\.sqlite: another Headrace made it \(format 99"):
        SqliteStore(path)


def contents() -> Sequence[Content]:
    return [Framed.of([Record(b"k", b"not ours")], 0), Block(1, 1, b"\xff", 0)]


@pytest.mark.parametrize("content", contents(), ids=["framed", "block"])
def test_what_cannot_be_read_stops_the_sink_and_names_the_place(place: Place, content: Content) -> None:
    place.schemas.register(f"{TOPICS.tiles}-value", nullable_schema(TOPICS.tiles, TILES))
    sink = OnlineSink(SHOP, place.schemas, place.store)
    with pytest.raises(LogError, match=r"shop\.tiles, partition 0, offset 4"):
        sink.apply([Batch(TOPICS.tiles, 0, 4, content)], {(TOPICS.tiles, 0): 5}, None)
    assert sink.position() == {}
