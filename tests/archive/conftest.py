"""A small shop: one stream, one table, views of each family; and what its processes share."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.archive.backfill import BackfillReport, backfill
from headrace.archive.columns import schemas as known_schemas
from headrace.archive.delta import Archive
from headrace.compile.tiles import slot
from headrace.declare.declaration import Declaration, View
from headrace.declare.keys import key_text
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.features.partials import Partial, merge
from headrace.log.sqlite import SqliteLog
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.folder import FolderSchemas
from headrace.stream.layouts import TILES

PROJECT = """
import headrace as hr
from headrace import Float, Int, Null, Str, Stream, Table, Time, future, window


class Store(Table, source="stores.csv", key="store"):
    store: Str
    region: Str


class Sale(Stream, topic="shop.sales", key="sku", time="sold_at", lateness="1h"):
    sku: Str
    store: Str
    units: Int
    price: Null[Float]
    gift: Null[hr.Bool]
    sold_at: Time


shop = hr.Project("shop", entity=("sku", "store"))


@shop.check(Sale)
def valid(sale):
    return {"units": sale.units >= 0}


@shop.enrich(Sale, Store)
def placed(sale, store):
    return {"region": store.region.fill_null("nowhere"), "revenue": sale.units * sale.price.fill_null(0.0)}


@shop.windows(Sale)
def recent(sale):
    return {
        "units_1d": window.sum(sale.units, "1d", by="sku"),
        "max_7d": window.max(sale.price, "7d", by="sku"),
        "last_store": window.last(sale.store, "7d", by="sku"),
        "region_1d": window.stddev(sale.revenue, "1d", by="region"),EXTRA
    }


@shop.features
def now(request, recent, calendar):
    return {"units_1d": recent.units_1d}


@shop.label(Sale, examples=hr.grid("1d", active="7d"))
def next_units(sale):
    return future.sum(sale.units, "1d")


@shop.model(seed=1)
def train(x, y, depth: int = 2):
    return None
"""
REGIONS = {"north": "N", "south": "S"}
STORES = pa.table({"store": list(REGIONS), "region": list(REGIONS.values())})
Record = Mapping[str, Any]


def declare(folder: Path, extra: str = "") -> Declaration:
    """The shop's declaration; extra: further windows."""
    (folder / "stores.csv").write_text("store,region\nnorth,N\nsouth,S\n")
    path = folder / "shop.py"
    path.write_text(PROJECT.replace("EXTRA", extra))
    return read_project(path)


@dataclass(frozen=True)
class Shop:
    """The declaration, and where its processes meet."""

    home: Path
    declaration: Declaration

    @property
    def topic(self) -> str:
        return Topics.of(self.declaration).enriched("sale")

    @cached_property
    def archive(self) -> Archive:
        return Archive(self.home / "archive", known_schemas(self.declaration))

    @cached_property
    def log(self) -> SqliteLog:
        return SqliteLog(self.home / "log")

    @cached_property
    def registry(self) -> FolderSchemas:
        return FolderSchemas(self.home / "schemas")

    def csv(self, name: str, rows: Sequence[Record]) -> Path:
        """A history file. A row: sku, store, units, price, gift, at (ms)."""
        lines = ["sku,store,units,price,gift,sold_at"]
        for row in rows:
            cells = [row["sku"], row["store"], row["units"], row["price"], row["gift"], time_text(row["at"])]
            lines.append(",".join("" if cell is None else str(cell) for cell in cells))
        path = self.home / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def backfill(self, files: Sequence[Path], until: int, **options: Any) -> BackfillReport:
        where = self.archive, self.log, self.registry
        return backfill(self.declaration, "sale", files, until, *where, lookups={"store": STORES}, **options)

    def file_id(self, path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def archived(self) -> list[tuple[str, int, str | None, int]]:
        """sku, time, file and row of everything archived, sorted."""
        rows = self.archive.read(self.topic).to_pylist()
        found = [(row["sku"], row["_time"], row["_file"], row["_offset"]) for row in rows]
        return sorted(found, key=lambda row: (row[1], row[0], row[2] or "", row[3]))

    def served(self, view: View) -> dict[tuple[str, int], Any]:
        """What a reader of both topics of tiles sees of a view: (key, hop) to facts, listed epochs merged."""
        topics = Topics.of(self.declaration)
        newest: dict[tuple[str, int, str], Partial] = {}
        listed = set()
        for topic in (topics.tiles, topics.history):
            if topic not in {known.name for known in self.log.topics()}:
                continue
            offset = 0
            while batches := self.log.read(topic, 0, offset, 10_000):
                offset = batches[-1].end
                for row in decode(batches, self.registry, nullable_schema(topic, TILES), TILES).table.to_pylist():
                    if row["view"] != view.id:
                        continue
                    if row["key"] is None:
                        listed.add(row["epoch"])
                    else:
                        newest[row["key"], row["hop"], row["epoch"]] = partial(view, row)
        groups: dict[tuple[str, int], list[Partial]] = defaultdict(list)
        for (key, hop, epoch), found in newest.items():
            if epoch in listed:
                groups[key, hop].append(found)
        return {place: facts(view, merge(view.family, found)) for place, found in groups.items()}

    def expected(self, view: View, records: Iterable[Record]) -> dict[tuple[str, int], Any]:
        """The same from the records themselves, naively. A record: as in `csv`, and `id` (file, partition, row)."""
        groups: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
        for row in records:
            revenue = row["units"] * (row["price"] or 0.0)
            by = {"sku": row["sku"], "region": REGIONS.get(row["store"], "nowhere")}
            value = {"total": row["units"], "extremes": row["price"], "ends": row["store"], "moments": revenue}
            key = key_text([by[name] for name in view.by]) or ""
            groups[key, row["at"] // view.hop * view.hop].append((row["at"], row["id"], value[view.family]))
        return {place: naive(view, sorted(found, key=lambda event: event[:2])) for place, found in groups.items()}


def time_text(at: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(milliseconds=at)).isoformat() + "Z"


def partial(view: View, row: Record) -> Partial:
    kind = slot(view)
    return Partial(row["n"], row[f"a_{kind}"], row[f"b_{kind}"], row["a_at"], row["a_id"], row["b_at"], row["b_id"])


def facts(view: View, found: Partial) -> Any:
    if view.family == "moments":
        return found.n, pytest.approx(found.a, rel=1e-9, abs=1e-9), pytest.approx(found.b, rel=1e-9, abs=1e-6)
    return found.n, found.a if found.n else None, found.b


def naive(view: View, events: list[tuple[Any, ...]]) -> Any:
    values = [value for _, _, value in events if value is not None]
    if not values:
        return 0, None, None
    match view.family:
        case "total":
            return len(values), sum(values), None
        case "extremes":
            return len(values), min(values), max(values)
        case "ends":
            return len(values), values[0], values[-1]
        case _:
            mean = math.fsum(values) / len(values)
            return len(values), mean, math.fsum((value - mean) ** 2 for value in values)


@pytest.fixture(scope="session")
def declaration(tmp_path_factory: pytest.TempPathFactory) -> Declaration:
    return declare(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Declaration:
    """The declaration with a window more, which is a view more."""
    return declare(
        tmp_path_factory.mktemp("wider"), '"units_by_region": window.sum(sale.units, "1d", by="region"),'
    )


@pytest.fixture(scope="session")
def open_shop(declaration: Declaration) -> Callable[[Path], Shop]:
    return lambda home: Shop(home, declaration)


@pytest.fixture
def shop(tmp_path: Path, declaration: Declaration) -> Shop:
    return Shop(tmp_path, declaration)
