"""A small shop: one stream, one table, views of each family; and what its processes share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.archive.columns import schemas as known_schemas
from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.log.sqlite import SqliteLog
from headrace.schema.folder import FolderSchemas

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
STORES = pa.table({"store": ["north", "south"], "region": ["N", "S"]})


def declare(folder: Path, extra: str = "") -> Declaration:
    """The shop's declaration; extra: further windows."""
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

    def archive(self) -> Archive:
        return Archive(self.home / "archive", known_schemas(self.declaration))

    def log(self) -> SqliteLog:
        return SqliteLog(self.home / "log")

    def registry(self) -> FolderSchemas:
        return FolderSchemas(self.home / "schemas")


@pytest.fixture(scope="session")
def declaration(tmp_path_factory: pytest.TempPathFactory) -> Declaration:
    return declare(tmp_path_factory.mktemp("project"))


@pytest.fixture
def shop(tmp_path: Path, declaration: Declaration) -> Shop:
    return Shop(tmp_path, declaration)
