"""The SQLite online store: microseconds to read one entity's 10 window features, and tiles applied a second.

The entity's tiles are dense (every hour of a week and every minute of an hour holds one), or sparse (one hop in
ten). The store holds 2,000 entities. A read is one snapshot, merged, from the keys to the values. Run: `python
-m benchmarks online_read`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import headrace as hr
from headrace import Float, Int, Str, Stream, Time, future, window
from headrace.compile.tiles import TILE
from headrace.declare.declaration import View
from headrace.declare.duration import DAY
from headrace.declare.resolve import resolve
from headrace.features.contract import TileRange
from headrace.features.partials import value
from headrace.features.sqlite import SqliteStore

NOW = 20_000 * DAY


class Sale(Stream, topic="shop.sales", key="sku", time="sold_at"):
    sku: Str
    units: Int
    price: Float
    sold_at: Time


bench = hr.Project("bench", entity="sku")


@bench.windows(Sale)
def recent(sale):
    return {
        "count_1h": window.count("1h", by="sku"),
        "sum_1h": window.sum(sale.units, "1h", by="sku"),
        "max_1h": window.max(sale.price, "1h", by="sku"),
        "sum_1d": window.sum(sale.units, "1d", by="sku"),
        "mean_1d": window.mean(sale.price, "1d", by="sku"),
        "max_1d": window.max(sale.price, "1d", by="sku"),
        "stddev_1d": window.stddev(sale.price, "1d", by="sku"),
        "sum_7d": window.sum(sale.units, "7d", by="sku"),
        "mean_7d": window.mean(sale.price, "7d", by="sku"),
        "last_7d": window.last(sale.price, "7d", by="sku"),
    }


@bench.features
def features(recent):
    return {"count_1h": recent.count_1h}


@bench.label(Sale, examples=hr.grid("7d", active="7d"))
def units_next_week(sale):
    return future.sum(sale.units, "7d")


@bench.model(seed=1)
def train(x, y):
    raise NotImplementedError


def made(view: View, size: int, entities: int, share: float) -> pa.Table:
    """Tiles of the last `size` ms: of each entity, `share` of the hops hold one."""
    random = np.random.default_rng(7)
    hops = np.arange((NOW - size) // view.hop, NOW // view.hop) * view.hop
    entity, hop = np.nonzero(random.random((entities, len(hops))) < share)
    rows = len(entity)
    of_floats = view.type.kind == "float"
    columns = {name: pa.nulls(rows, kind) for name, kind in zip(TILE.names, TILE.types, strict=True)}
    a, b = random.random(rows) * 100, random.random(rows) * 100
    columns |= {
        "key": pa.array(np.char.add("sku-", entity.astype(str))),
        "hop": pa.array(hops[hop]),
        "newest": pa.array(hops[hop] + view.hop // 2),
        "n": pa.array(np.full(rows, 5)),
        "a_float" if of_floats else "a_int": pa.array(a if of_floats else a.astype(np.int64)),
        "b_float" if of_floats else "b_int": pa.array(b if of_floats else b.astype(np.int64)),
    }
    if view.family == "ends":
        columns |= {"a_at": columns["hop"], "b_at": columns["newest"]}
        columns |= {"a_id": pa.array(["/00000/1"] * rows), "b_id": pa.array(["/00000/2"] * rows)}
    table = pa.table({"view": pa.array([view.id] * rows), "epoch": pa.array(["first"] * rows), **columns})
    listing = pa.table({"view": [view.id], "epoch": ["first"]})
    return pa.concat_tables([table, listing], promote_options="default")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="online_read", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entities", type=int, default=2_000)
    parser.add_argument("--reads", type=int, default=3_000)
    options = parser.parse_args(argv)
    features = list(resolve(bench.parts, Path(__file__), "").windows.values())
    sizes = {feature.view: feature.size for feature in sorted(features, key=lambda feature: feature.size)}
    found: dict[str, float] = {}
    print(f"{options.entities:,} entities, {len(features)} features, medians of {options.reads:,} reads")
    print(f"{'':8}{'tiles':>12}{'applied/s':>12}{'us a read':>12}{'p99 us':>10}{'tiles a read':>14}")
    for name, share in (("sparse", 0.1), ("dense", 1.0)):
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteStore(Path(folder) / "online.sqlite")
            tiles = [made(view, size, options.entities, share) for view, size in sizes.items()]
            begun = time.perf_counter()
            for number, table in enumerate(tiles):
                store.apply(table, {}, {("tiles", 0): number}, None)
            count = sum(table.num_rows for table in tiles)
            rate = count / (time.perf_counter() - begun)
            random = np.random.default_rng(8)
            spent = []
            for entity in random.integers(0, options.entities, options.reads):
                ranges = [TileRange(part.view, f"sku-{entity}", NOW - part.size) for part in features]
                begun = time.perf_counter()
                reading = store.read(ranges, [], NOW)
                values = [value(part, partial) for part, partial in zip(features, reading.partials, strict=True)]
                spent.append((time.perf_counter() - begun) * 1e6)
            assert len(values) == len(features)
            store.close()
        merged = share * sum(part.size // part.view.hop for part in features)
        median, slow = statistics.median(spent), float(np.quantile(spent, 0.99))
        print(f"{name:8}{count:12,}{rate:12,.0f}{median:12.0f}{slow:10.0f}{merged:14.0f}")
        found |= {f"{name}_read_us": median, f"{name}_applied_per_s": rate}
    print(json.dumps({"benchmark": "online_read", **{key: round(number, 1) for key, number in found.items()}}))
