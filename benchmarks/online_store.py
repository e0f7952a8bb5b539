"""Both online stores: tiles applied a second by the online role's sink, and microseconds to read one entity.

An entity has ten ranges of one window (13 hours by the minute, so at most 780 tiles) and three rows of tables. In
`sparse` each range holds 5 tiles and entities are many; in `dense` it holds all 780. Live blocks hold one hop of
all entities, each twice (the second replaces the first); history comes 50,000 tiles a block. A read is one
entity's ranges and attributes, merged. Run: `python -m benchmarks online_store --redis 127.0.0.1:6379/9` (an
empty database).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import redis

import headrace as hr
from headrace import Float, Int, Str, Stream, Table, Time, future, window
from headrace.compile.tiles import TILE, slot
from headrace.declare.declaration import View
from headrace.declare.duration import DAY, MINUTE
from headrace.declare.resolve import resolve
from headrace.declare.topics import Topics
from headrace.features.contract import OnlineStore, TileRange
from headrace.features.online import OnlineSink
from headrace.features.redis import RedisStore
from headrace.features.sqlite import SqliteStore
from headrace.log.batches import Batch
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.folder import FolderSchemas
from headrace.stream.layouts import TILES
from headrace.stream.tiler import listing, tiles_of

START = 20_000 * DAY
HOPS = 780
BLOCK = 50_000
READ_HOPS = {"sparse": 5, "dense": HOPS}


class Sale(Stream, topic="shop.sales", key="sku", time="sold_at"):
    sku: Str
    store: Str
    units: Int
    price: Float
    sold_at: Time


class Supplier(Table, source="suppliers.csv", key="sku"):
    sku: Str
    days: Int


bench = hr.Project("bench", entity=("sku", "store"))


@bench.windows(Sale, every="1m")
def recent(sale):
    return {
        f"{name}_{by}": made
        for by in ("sku", "store")
        for name, made in {
            "count": window.count("13h", by=by),
            "units": window.sum(sale.units, "13h", by=by),
            "dearest": window.max(sale.price, "13h", by=by),
            "spread": window.stddev(sale.price, "13h", by=by),
            "last": window.last(sale.price, "13h", by=by),
        }.items()
    }


@bench.features
def features(recent, supplier):
    return {"count": recent.count_sku, "days": supplier.days}


@bench.label(Sale, examples=hr.grid("7d", active="7d"))
def units_next_week(sale):
    return future.sum(sale.units, "7d")


@bench.model(seed=1)
def train(x, y):
    raise NotImplementedError


BENCH = resolve(bench.parts, Path(__file__), "")
TOPIC = Topics.of(BENCH).tiles
VIEWS = [feature.view for feature in BENCH.windows.values()]


def made(view: View, hops: np.ndarray, entities: int, seed: int) -> pa.Table:
    """A tile of each entity in each hop, hop by hop."""
    random = np.random.default_rng(seed)
    rows = len(hops) * entities
    columns = {name: pa.nulls(rows, kind) for name, kind in zip(TILE.names, TILE.types, strict=True)}
    hop = np.repeat(hops, entities)
    a = random.random(rows) * 100
    columns["key"] = pa.array(np.tile(np.char.add("sku-", np.arange(entities).astype(str)), len(hops)))
    columns |= {"hop": pa.array(hop), "newest": pa.array(hop + 30_000), "n": pa.array(random.integers(1, 9, rows))}
    for side in ("a", "b") if view.family in ("extremes", "moments", "ends") else ("a",):
        columns[f"{side}_{slot(view)}"] = pa.array(a if slot(view) == "float" else a.astype(np.int64))
        if view.family == "ends":
            columns |= {f"{side}_at": pa.array(hop + 1), f"{side}_id": pa.array([f"/00003/{7_654_321:020}"] * rows)}
    return tiles_of(view, "live-0", pa.table(columns))


def rows_of_tables(entities: int) -> pa.Table:
    count = np.arange(entities)
    same = {"_deleted": np.zeros(entities, bool), "_arrival": count * 0 + START, "_valid": count * 0 + START}
    return pa.table({"sku": np.char.add("sku-", count.astype(str)), "days": count, **same}).append_column(
        "_key", pa.array(np.char.add("sku-", count.astype(str)))
    )


class Side:
    """One store, filled through the sink."""

    def __init__(self, store: OnlineStore, folder: Path) -> None:
        self.store = store
        self._schemas = FolderSchemas(folder / "schemas")
        self._id = self._schemas.register(f"{TOPIC}-value", nullable_schema(TOPIC, TILES)).id
        self._sink = OnlineSink(BENCH, self._schemas, store)
        self._offset = 0
        self._apply([listing(view, ["live-0"]) for view in VIEWS])

    def rate(self, tables: list[pa.Table]) -> float:
        """Tiles a second, of blocks that were encoded before."""
        batches = [self._batch([table]) for table in tables]
        begun = time.perf_counter()
        for batch in batches:
            self._sink.apply([batch], {(TOPIC, 0): batch.end}, None)
        return sum(table.num_rows for table in tables) / (time.perf_counter() - begun)

    def _apply(self, tables: list[pa.Table]) -> None:
        batch = self._batch(tables)
        self._sink.apply([batch], {(TOPIC, 0): batch.end}, None)

    def _batch(self, tables: list[pa.Table]) -> Batch:
        batch = Batch(TOPIC, 0, self._offset, encode_block(pa.concat_tables(tables), self._id, arrival=START))
        self._offset = batch.end
        return batch

    def reads(self, entities: int, count: int, end: int) -> list[float]:
        """Microseconds of each."""
        random = np.random.default_rng(8)
        spent = []
        for entity in random.integers(0, entities, count):
            ranges = [TileRange(view, f"sku-{entity}", end - HOPS * MINUTE) for view in VIEWS]
            keys = [(title, f"sku-{entity}") for title in ("supplier", "shelf", "region")]
            begun = time.perf_counter()
            reading = self.store.read(ranges, keys, end)
            spent.append((time.perf_counter() - begun) * 1e6)
        assert all(part is not None and part.n for part in reading.partials)
        assert all(row is not None for row in reading.rows)
        return spent


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="online_store", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--redis", default="127.0.0.1:6379/9", help="host:port/db, an empty database")
    parser.add_argument("--entities", type=int, default=1_000, help="sparse ones; dense ones are a twentieth")
    parser.add_argument("--reads", type=int, default=1_000)
    options = parser.parse_args(argv)
    found: dict[str, float] = {}
    for shape, hops in READ_HOPS.items():
        entities = options.entities if shape == "sparse" else options.entities // 20
        times = START + np.arange(hops) * MINUTE
        end = int(times[-1]) + MINUTE
        live = [
            pa.concat_tables([made(view, times[n : n + 1], entities, seed) for view in VIEWS])
            for n in range(min(hops, 20))
            for seed in (1, 2)
        ]
        history = pa.concat_tables([made(view, times, entities, 2) for view in VIEWS])
        blocks = [history.slice(first, BLOCK) for first in range(0, history.num_rows, BLOCK)]
        client = redis.Redis.from_url(f"redis://{options.redis}")
        for kind in ("sqlite", "redis"):
            with tempfile.TemporaryDirectory() as name:
                folder, prefix = Path(name), f"bench-{uuid.uuid4().hex[:6]}:"
                before = client.info("memory")["used_memory"]
                path = folder / "online.sqlite"
                store = (
                    SqliteStore(path) if kind == "sqlite" else RedisStore(f"redis:{options.redis}?prefix={prefix}")
                )
                side = Side(store, folder)
                found[f"{kind}_{shape}_history_per_s"] = side.rate(blocks)
                found[f"{kind}_{shape}_live_per_s"] = side.rate(live)
                rows = rows_of_tables(entities)
                used = client.info("memory")["used_memory"] - before if kind == "redis" else _size(path)
                found[f"{kind}_{shape}_bytes_per_tile"] = used / history.num_rows
                store.apply(None, dict.fromkeys(("supplier", "shelf", "region"), rows), {}, None)
                side.reads(entities, 20, end)
                spent = side.reads(entities, options.reads, end)
                found[f"{kind}_{shape}_read_p50_us"] = statistics.median(spent)
                found[f"{kind}_{shape}_read_p99_us"] = float(np.quantile(spent, 0.99))
                store.close()
                if kind == "redis":
                    for key in client.scan_iter(f"{prefix}*", 1_000):
                        client.unlink(key)
        client.close()
    for shape in READ_HOPS:
        for name in ("history_per_s", "live_per_s", "read_p50_us"):
            ratio = found[f"redis_{shape}_{name}"] / found[f"sqlite_{shape}_{name}"]
            found[f"redis_to_sqlite_{shape}_{name.rpartition('_')[0]}"] = ratio
    print(json.dumps({"benchmark": "online_store", **{key: round(number, 2) for key, number in found.items()}}))


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))
