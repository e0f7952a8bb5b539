from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pytest

from headrace.declare.declaration import Check, Declaration, Derived, Join, StreamDef, TableDef, View
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.log.batches import Framed, Record
from headrace.log.sqlite import SqliteLog
from headrace.log.turns import transaction_in_turn
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.folder import FolderSchemas
from headrace.stream.deadletters import DeadLetter, dead_letters
from headrace.stream.enricher import Enricher
from headrace.stream.layouts import TILES, enriched_columns
from headrace.stream.producer import Producer
from headrace.stream.tables import Tables
from headrace.stream.tiler import Tiler

STR, INT, FLOAT, TIME = (ColumnType(kind) for kind in ("str", "int", "float", "time"))
STORE = TableDef(
    "store", "store.csv", ("store",), 10_000, None, None, {"store": STR, "region": ColumnType("str", True)}
)
COLUMNS = {"sku": STR, "store": STR, "units": INT, "price": ColumnType("float", True), "at": TIME}


def stream_of(tables: Mapping[str, TableDef]) -> StreamDef:
    joined = {name: kind.ibis for name, kind in COLUMNS.items()}
    joined |= {f"store__{name}": dt.String() for name in ("store", "region")}
    record = ibis.table(joined, name="record")
    checks = (Check("units", record.units >= 0), Check("price", record.price < 1e6))
    region = record.store__region.fill_null("unknown") if tables else record.store.upper()
    derived = (
        Derived("region", region, ColumnType("str", True)),
        Derived("gain", (record.price > 0).ifelse(record.price, ibis.null("float64")), ColumnType("float", True)),
        Derived("scaled", record.units * 1_000_000, ColumnType("int", True)),
    )
    joins = tuple(Join(table, ("store",)) for table in tables.values())
    return StreamDef("sale", "shop.sales", ("sku",), "at", 5_000, 1_000, COLUMNS, checks, joins, derived)


def views_of(
    stream: StreamDef, families: tuple[str, ...] = ("total", "extremes", "moments", "ends")
) -> dict[str, View]:
    record = ibis.table({name: kind.ibis for name, kind in stream.enriched.items()}, name="record")
    found = {"count": View("count", "sale", ("sku",), 1_000, "total", None, INT)}
    for family in families:
        for name, kind in (("units", "int"), ("gain", "float"), ("store", "str")):
            if kind == "str" and family in ("total", "moments"):
                continue
            view_id = f"{family}_{name}"
            by = ("sku",) if name == "gain" else ("sku", "region")
            found[view_id] = View(view_id, "sale", by, 1_000, family, record[name], ColumnType(kind, True))
    return found


def declaration_of(stream: StreamDef, views: Mapping[str, View], tables: Mapping[str, TableDef], path: Path) -> Any:
    """As much of a declaration as the engine reads."""
    given: dict[str, Any] = dict.fromkeys(Declaration.__dataclass_fields__)
    given |= {"name": "shop", "path": path, "streams": {"sale": stream}, "tables": tables, "views": views}
    return Declaration(**given)


class Shop:
    """A small project with its log, and what its topics hold."""

    def __init__(self, folder: Path, tables: Mapping[str, TableDef], partitions: int = 2) -> None:
        self.folder, self.now, self.marked = folder, 0, None
        self.stream = stream_of(tables)
        self.views = views_of(self.stream)
        self.tables = tables
        self.topics = Topics("shop")
        self.log, self.schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
        self.producer = Producer(self.log, self.schemas, self.stream, partitions=partitions, clock=lambda: self.now)
        self._open: list[Any] = []

    @property
    def declaration(self) -> Any:
        return declaration_of(self.stream, self.views, self.tables, self.folder / "project.py")

    def role(self, kind: type, *arguments: Any, **options: Any) -> Any:
        role = kind(self.declaration, self.log, self.schemas, *arguments, **options)
        self._open.append(role)
        return role

    def enricher(self, **options: Any) -> Enricher:
        return self.role(Enricher, **options)

    def tiler(self, history: Callable[..., Any] = lambda view, vector: None, **options: Any) -> Tiler:
        return self.role(Tiler, history, **options)

    def tables_role(self, **options: Any) -> Tables:
        return self.role(Tables, clock=lambda: self.now, **options)

    def stop(self, role: Any) -> None:
        role.close()
        self._open.remove(role)

    def write_store(self, text: str) -> None:
        (self.folder / "store.csv").write_text("store,region\n" + text, encoding="utf-8")

    def send(self, *rows: tuple[Any, ...], headers: list[dict[str, bytes]] | None = None) -> None:
        """Rows of (sku, store, units, price, at, arrival)."""
        records = [dict(zip(COLUMNS, row, strict=False)) for row in rows]
        self.producer.send_rows(records, [row[-1] for row in rows], headers)

    def send_bytes(
        self, value: bytes, arrival: int, partition: int = 0, headers: Mapping[str, bytes] | None = None
    ) -> None:
        with transaction_in_turn(self.log, "producers") as transaction:
            transaction.append(
                "shop.sales", partition, Framed.of([Record(b"k", value, headers or {}, arrival)], now=0)
            )

    def enriched(self) -> list[dict[str, Any]]:
        topic = self.topics.enriched("sale")
        columns = enriched_columns(self.stream)
        rows: list[dict[str, Any]] = []
        for partition in range(len(self.log.bounds(topic))):
            batches = self.log.read(topic, partition, 0, 10**9)
            rows += decode(batches, self.schemas, nullable_schema(topic, columns), columns).table.to_pylist()
        return [{name: row[name] for name in columns} for row in rows]

    def tiles(self) -> list[dict[str, Any]]:
        """Every row of the tiles topic, in order."""
        topic = self.topics.tiles
        batches = self.log.read(topic, 0, 0, 10**9)
        table = decode(batches, self.schemas, nullable_schema(topic, TILES), TILES).table
        return table.select(list(TILES)).to_pylist()

    def last_tiles(self) -> dict[tuple[str, str, int, str], dict[str, Any]]:
        """The newest tile of each view, key, hop and epoch."""
        return {(t["view"], t["key"], t["hop"], t["epoch"]): t for t in self.tiles() if t["key"] is not None}

    def listed(self) -> set[tuple[str, str]]:
        return {(t["view"], t["epoch"]) for t in self.tiles() if t["key"] is None}

    @staticmethod
    def drain(*roles: Any) -> int:
        """Steps until none has anything more to do; how many records."""
        total = 0
        while count := sum(role.step() for role in roles):
            total += count
        return total

    def dead(self) -> list[DeadLetter]:
        return list(dead_letters(self.declaration, self.log, self.schemas, self.stream))

    def close(self) -> None:
        while self._open:
            self._open.pop().close()
        self.log.close()


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Opens shops, each in a folder of its own: `open_shop(joined=False, partitions=2)`."""
    opened: list[Shop] = []

    def make(joined: bool = False, partitions: int = 2) -> Shop:
        folder = tmp_path / f"shop_{len(opened)}"
        folder.mkdir()
        opened.append(Shop(folder, {"store": STORE} if joined else {}, partitions))
        return opened[-1]

    yield make
    for found in opened:
        found.close()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop without tables to wait for."""
    return open_shop()


@pytest.fixture
def joined_shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop that joins a table of stores."""
    found = open_shop(joined=True)
    found.write_store("s1,north\ns2,\n")
    return found
