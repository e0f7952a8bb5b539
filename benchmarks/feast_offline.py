"""Feast's get_historical_features over Headrace's archive, and over Feast's own DuckDB and Dask stores.

100,000 rows (key, t) from 1,000,000 events, 10 features over 3 windows. Headrace reads the events from its archive
and computes every window at every t. Feast computes no windows: its stores join a feature table that was computed
before, a row an event with the windows as they were just after it arrived (by the training kernel, not timed). That
is less work. Each side's result is compared with a plain count of the events of a sample of rows; a stale join is
wrong where events left a window, or several came at once. Each `to_arrow()` from files, in turns. Run: `python -m
benchmarks feast_offline`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import feast
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast.types import Float64, Int64

from benchmarks.feast_online import objects, store
from benchmarks.point_in_time import bench, made
from headrace.declare.declaration import Declaration
from headrace.declare.resolve import resolve
from headrace.declare.topics import Topics
from headrace.feast import surroundings
from headrace.feast.repo import objects_text
from headrace.feast.slices import slices
from headrace.features.point_in_time import window_values
from headrace.profiles import Profile

VIEW = "recent_by_sku"
FUNCTIONS: dict[str, Callable[[Any], float]] = {"count": len, "sum": sum, "mean": np.mean, "min": min, "max": max}


def ours(folder: Path, declaration: Declaration, events: pa.Table) -> Any:
    profile = Profile("local", folder)
    stamped = events.append_column("sold_at", events["_time"].cast(pa.timestamp("ms")))
    profile.open_archive(declaration).append(Topics.of(declaration).enriched("sale"), stamped, {}, None)
    opened = surroundings.Surroundings(declaration, slices(declaration), profile)
    patch.object(surroundings, "_opened", lambda *_: opened).start()
    place = {"project": __file__}
    online = {"type": "headrace.feast.online.HeadraceOnlineStore", **place}
    found = store(folder, online, {"type": "headrace.feast.offline.HeadraceOfflineStore", **place})
    found.apply(objects(objects_text(declaration)))
    return found


def feature_table(declaration: Declaration, events: pa.Table) -> pa.Table:
    """The windows just after each event arrived: what a job that feeds a feature store would write."""
    windows = list(declaration.windows.values())
    keys, times = events["sku"].combine_chunks(), events["_arrival"].to_numpy() + 1
    values = window_values(events, windows, {window.view.id: keys for window in windows}, times)
    moments = pa.array(times * 1_000, pa.timestamp("us", tz="UTC"))
    named = {window.name.split("__")[1]: values[window.name] for window in windows}
    return pa.table({"sku": keys, "event_timestamp": moments, **named})


def theirs(folder: Path, kind: str, table: pa.Table) -> Any:
    found = store(folder, {"type": "sqlite", "path": str(folder / "online.db")}, {"type": kind})
    path = folder / "features.parquet"
    pq.write_table(table, path)
    sku = feast.Entity(name="sku", join_keys=["sku"], value_type=feast.ValueType.STRING)
    fields = [
        feast.Field(name=field.name, dtype=Int64 if pa.types.is_integer(field.type) else Float64)
        for field in table.schema
        if field.name not in ("sku", "event_timestamp")
    ]
    view = feast.FeatureView(
        name=VIEW,
        entities=[sku],
        ttl=timedelta(0),
        schema=fields,
        source=feast.FileSource(name="features", path=str(path), timestamp_field="event_timestamp"),
    )
    found.apply([sku, view])
    return found


def asked(found: Any, rows: pd.DataFrame, names: list[str]) -> pa.Table:
    refs = [f"{VIEW}:{name}" for name in names]
    table: pa.Table = found.get_historical_features(rows.copy(), features=refs).to_arrow()
    return table


def wrong(declaration: Declaration, found: pa.Table, sample: pd.DataFrame, events: pa.Table) -> float:
    """The share of the sample's cells that a plain count does not give; a lost row is wrong in all its cells."""
    by_key = dict(list(events.to_pandas().groupby("sku")))
    got = found.to_pandas().drop_duplicates("row").set_index("row")
    bad = cells = 0
    for row in sample.itertuples():
        t = row.event_timestamp.value // 1_000_000
        own = by_key.get(row.sku)
        for window in declaration.windows.values():
            cells += 1
            since = (t - window.size) // window.view.hop * window.view.hop
            seen = own if own is None else own[(own._arrival < t) & (own._time >= since) & (own._time < t)]
            column = "price" if window.view.type.kind == "float" else "units"
            values = [] if seen is None else list(seen[column])
            function = FUNCTIONS[window.aggregate]
            wanted = function(values) if values or window.aggregate in ("count", "sum") else math.nan
            name = window.name.split("__")[1]
            value = got[name].get(row.row, "lost")
            if value == "lost":
                bad += 1
            elif pd.isna(value) or pd.isna(wanted):
                bad += not (pd.isna(value) and pd.isna(wanted))
            else:
                bad += not math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return bad / cells


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="feast_offline", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=300)
    options = parser.parse_args(argv)
    declaration = resolve(bench.parts, Path(__file__), "")
    names = [window.name.split("__")[1] for window in declaration.windows.values()]
    events, rows = made(options.events, options.rows, 0, seed=7)
    entities = pd.DataFrame(
        {
            "row": np.arange(options.rows),
            "sku": rows["sku"].to_pandas(),
            "event_timestamp": pd.to_datetime(rows["t"].to_numpy(), unit="ms", utc=True),
        }
    )
    repeated = pd.concat([entities.iloc[:100], entities.iloc[:100]], ignore_index=True)
    sample = entities.sample(options.sample, random_state=7)
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / name for name in ("headrace", "duckdb", "dask")}
        for place in places.values():
            place.mkdir()
        table = feature_table(declaration, events)
        stores = {name: theirs(places[name], name, table) for name in ("duckdb", "dask")}
        stores = {"headrace": ours(places["headrace"], declaration, events), **stores}
        spent: dict[str, list[float]] = {name: [] for name in stores}
        kept, found = {}, {}
        for name, one in stores.items():
            kept[name] = asked(one, repeated, names).num_rows
        for _ in range(options.rounds):
            for name, one in stores.items():
                begun = time.perf_counter()
                found[name] = asked(one, entities, names)
                spent[name].append(time.perf_counter() - begun)
        print(
            f"{options.events:,} events, {options.rows:,} rows, {len(names)} features; seconds, "
            f"medians of {options.rounds}; wrong cells of {options.sample} rows; rows kept of 100 asked for twice"
        )
        print(f"{'store':12}{'seconds':>10}{'to ours':>10}{'rows':>10}{'wrong cells':>14}{'kept of 200':>13}")
        medians = {name: statistics.median(times) for name, times in spent.items()}
        for name, median in medians.items():
            share = wrong(declaration, found[name], sample, events)
            ratio = median / medians["headrace"]
            print(
                f"{name:12}{median:10.2f}{ratio:10.1f}{found[name].num_rows:10,}{share:14.4f}{kept[name]:13}",
                flush=True,
            )
            results |= {
                f"{name}_s": median,
                f"{name}_ratio": ratio,
                f"{name}_wrong": share,
                f"{name}_kept": kept[name],
            }
    print(json.dumps({"benchmark": "feast_offline", **{key: round(value, 4) for key, value in results.items()}}))
