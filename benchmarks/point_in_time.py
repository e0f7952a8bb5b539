"""The training kernel against DuckDB as a user would write it: window RANGE, and a join with tiles.

1,000,000 events, 100,000 rows (key, t), 10 features over 3 windows (1 h, 1 d, 7 d); keys uniform over 20,000,
and with 50 hot keys that have half of the events. The peers count by event time alone (no arrivals), which is
less than the kernel does. Run: `python -m benchmarks point_in_time`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

import headrace as hr
from headrace import Float, Int, Str, Stream, Time, future, window
from headrace.declare.declaration import WindowFeature
from headrace.declare.duration import DAY, duration_text
from headrace.declare.resolve import resolve
from headrace.features.point_in_time import window_values

SPAN = 30 * DAY
LATEST = 5 * 60_000
SQL = {"count": "count(units)", "sum": "sum(units)", "mean": "avg(price)", "min": "min(price)", "max": "max(price)"}


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
        "count_7d": window.count("7d", by="sku"),
        "sum_7d": window.sum(sale.units, "7d", by="sku"),
        "mean_7d": window.mean(sale.price, "7d", by="sku"),
        "min_7d": window.min(sale.price, "7d", by="sku"),
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


def made(events: int, rows: int, hot: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Enriched records in the order of arrival, and rows (key, t)."""
    random = np.random.default_rng(seed)

    def keys(count: int) -> np.ndarray:
        found = random.integers(0, 20_000, count)
        if hot:
            found = np.where(random.random(count) < 0.5, random.integers(0, hot, count), found)
        return np.char.add("sku-", found.astype(str))

    happened = np.sort(random.integers(0, SPAN, events))
    arrived = happened + random.integers(0, LATEST, events)
    order = np.argsort(arrived, kind="stable")
    table = pa.table(
        {
            "sku": pa.array(keys(events)),
            "units": random.integers(0, 100, events),
            "price": random.random(events) * 100,
            "_time": happened[order],
            "_arrival": arrived[order],
            "_file": pa.nulls(events, pa.string()),
            "_partition": np.zeros(events, np.int64),
            "_offset": np.arange(events),
        }
    )
    return table, pa.table({"sku": pa.array(keys(rows)), "t": random.integers(7 * DAY, SPAN, rows)})


def kernel(events: pa.Table, rows: pa.Table, features: list[WindowFeature]) -> float:
    keys = rows["sku"].combine_chunks()
    values = window_values(events, features, {feature.view.id: keys for feature in features}, rows["t"].to_numpy())
    return float(np.nansum(values["recent__sum_7d"].to_numpy(zero_copy_only=False)))


def window_range(events: pa.Table, rows: pa.Table, features: list[WindowFeature]) -> float:
    """Rows among the events, and one window RANGE clause a feature; exact at both ends."""
    columns = ", ".join(f"{SQL[feature.aggregate]} OVER w{feature.size} AS {feature.name}" for feature in features)
    named = ", ".join(
        f"w{size} AS (PARTITION BY sku ORDER BY moment RANGE BETWEEN {size} PRECEDING AND 1 PRECEDING)"
        for size in sorted({feature.size for feature in features})
    )
    query = f"""SELECT * FROM (
        SELECT example, {columns} FROM (
            SELECT sku, _time AS moment, units, price, NULL AS example FROM events
            UNION ALL SELECT sku, t, NULL, NULL, row_number() OVER () FROM rows)
        WINDOW {named}) WHERE example IS NOT NULL ORDER BY example"""
    return _run(query, events, rows)


def tile_join(events: pa.Table, rows: pa.Table, features: list[WindowFeature]) -> float:
    """Tiles joined by a range of hops, and the head from the events, one pair of joins a window."""
    parts = []
    for size in sorted({feature.size for feature in features}):
        hop = next(feature.view.hop for feature in features if feature.size == size)
        parts.append(f"""SELECT example, '{duration_text(size)}' AS size, sum(n) AS n, sum(units) AS units,
            sum(price) AS price, min(low) AS low, max(high) AS high FROM (
            SELECT example, n, tile.units, tile.price, low, high FROM numbered JOIN (
                SELECT sku, _time // {hop} AS hop, count(*) AS n, sum(units) AS units, sum(price) AS price,
                    min(price) AS low, max(price) AS high FROM events GROUP BY ALL) AS tile
            ON tile.sku = numbered.sku AND hop >= (t - {size}) // {hop} AND hop < t // {hop}
            UNION ALL
            SELECT example, 1, units, price, price, price FROM numbered JOIN events
            ON events.sku = numbered.sku AND _time // {hop} = t // {hop} AND _time < t
            ) GROUP BY example""")
    query = "WITH numbered AS (SELECT *, row_number() OVER () AS example FROM rows) " + " UNION ALL ".join(parts)
    return _run(query, events, rows)


def _run(query: str, events: pa.Table, rows: pa.Table) -> float:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.register("events", events)
        connection.register("rows", rows)
        return float(connection.sql(query).to_arrow_table().num_rows)


def medians(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Seconds on the clock, and of all cores together."""
    spent = []
    for _ in range(rounds):
        begun, worked = time.perf_counter(), time.process_time()
        work()
        spent.append((time.perf_counter() - begun, time.process_time() - worked))
    return statistics.median(clock for clock, _ in spent), statistics.median(cores for _, cores in spent)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="point_in_time", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    features = list(resolve(bench.parts, Path(__file__), "").windows.values())
    found: dict[str, float] = {}
    print(
        f"{options.events:,} events, {options.rows:,} rows, {len(features)} features; "
        f"medians of {options.rounds}, seconds"
    )
    print(f"{'':14}{'method':14}{'seconds':>10}{'of cores':>10}{'to kernel':>12}{'of cores':>10}")
    for name, hot in (("uniform", 0), ("50 hot keys", 50)):
        events, rows = made(options.events, options.rows, hot, seed=7)
        begun: tuple[float, float] | None = None
        for method in (kernel, window_range, tile_join):
            clock, cores = medians(partial(method, events, rows, features), options.rounds)
            begun = begun or (clock, cores)
            ratios = clock / begun[0], cores / begun[1]
            print(f"{name:14}{method.__name__:14}{clock:10.2f}{cores:10.2f}{ratios[0]:12.1f}{ratios[1]:10.1f}")
            label = f"{'hot' if hot else 'uniform'}_{method.__name__}"
            found |= {f"{label}_s": clock, f"{label}_ratio": ratios[0], f"{label}_cores_ratio": ratios[1]}
    print(json.dumps({"benchmark": "point_in_time", **{key: round(value, 3) for key, value in found.items()}}))
