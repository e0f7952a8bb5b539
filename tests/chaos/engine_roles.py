"""What a process of the engine does in test_engine_kill: it steps, and says so, until nothing is left to do."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path

import ibis

from headrace.declare.declaration import Check, Declaration, Derived, StreamDef, View
from headrace.declare.types import ColumnType
from headrace.log.sqlite import SqliteLog
from headrace.schema.folder import FolderSchemas
from headrace.stream.enricher import Enricher
from headrace.stream.tiler import Tiler

COLUMNS = {"sku": ColumnType("str"), "units": ColumnType("int"), "at": ColumnType("time")}


def declaration(folder: Path) -> Declaration:
    raw = ibis.table({name: kind.ibis for name, kind in COLUMNS.items()}, name="record")
    derived = (Derived("twice", raw.units * 2, ColumnType("int", True)),)
    checks = (Check("units", raw.units >= 0),)
    stream = StreamDef("sale", "shop.sales", ("sku",), "at", 5_000, 1_000, COLUMNS, checks, (), derived)
    record = ibis.table({name: kind.ibis for name, kind in stream.enriched.items()}, name="record")
    views = {
        "sum": View("sum", "sale", ("sku",), 1_000, "total", record.twice, ColumnType("int")),
        "last": View("last", "sale", ("sku",), 60_000, "ends", record.units, ColumnType("int")),
    }
    given = dict.fromkeys(Declaration.__dataclass_fields__)
    given |= {
        "name": "shop",
        "path": folder / "project.py",
        "streams": {"sale": stream},
        "tables": {},
        "views": views,
    }
    return Declaration(**given)


def main(folder: Path, role: str, limit: int, says: Connection) -> None:
    """Says how many records each step had. Ends when nothing is left, once the file `drain` is there."""
    log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    project = declaration(folder)
    stage = (
        Enricher(project, log, schemas, limit=limit)
        if role == "enrich"
        else Tiler(project, log, schemas, lambda view, vector: None, limit=limit)
    )
    while True:
        count = stage.step()
        if count:
            says.send(count)
        elif (folder / "drain").exists():
            return
        else:
            time.sleep(0.001)


if __name__ == "__main__":
    main(*ARGUMENTS)  # type: ignore[name-defined]  # noqa: F821  (set by the test)
