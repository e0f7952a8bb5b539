"""Feast's SDK over Headrace's online store, and over Feast's own: 1 and 100 entities a call, on SQLite and Redis.

Ten window features of 2,000 entities. Headrace merges the tiles of every window at the instant of the call (dense:
a tile in every hop; sparse: in one of ten); Feast's stores look up values that were computed before and do not
change any more, which is less work. Both through `FeatureStore.get_online_features(...).to_dict()`, in turns, for
the same entities. Redis is the server at HEADRACE_TEST_REDIS (host:port), else one that is started here. Run:
`python -m benchmarks feast_online`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from benchmarks.online_read import NOW, bench, made
from headrace.declare.resolve import resolve
from headrace.feast import surroundings
from headrace.feast.repo import objects_text
from headrace.feast.slices import slices
from headrace.log.clock import WallClock
from headrace.profiles import Profile

ENTITIES = 2_000
VIEW = "recent_by_sku"


@contextmanager
def redis_address() -> Iterator[str]:
    given = os.environ.get("HEADRACE_TEST_REDIS")
    if given:
        yield given
        return
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is not on the PATH"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen([program, *place], stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def objects(text: str) -> list[Any]:
    """What a repo's file declares."""
    from feast import Entity, FeatureService, FeatureView

    found: dict[str, Any] = {}
    exec(text, found)
    return [one for one in found.values() if isinstance(one, (Entity, FeatureView, FeatureService))]


def store(folder: Path, online: dict[str, Any], offline: dict[str, Any]) -> Any:
    from feast import FeatureStore, RepoConfig

    return FeatureStore(
        config=RepoConfig(
            project=f"bench_{folder.parent.name}",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store=online,
            offline_store=offline,
            entity_key_serialization_version=3,
        )
    )


def ours(folder: Path, url: str, share: float) -> Any:
    """Feast over Headrace's store, which the online role's `apply` filled."""
    declaration = resolve(bench.parts, Path(__file__), "")
    profile = Profile("local", folder, online=url)
    opened = surroundings.Surroundings(declaration, slices(declaration), profile)
    sink = profile.open_online()
    sizes = {window.view: window.size for window in sorted(declaration.windows.values(), key=lambda w: w.size)}
    for number, (view, size) in enumerate(sizes.items()):
        sink.apply(made(view, size, ENTITIES, share), {}, {("tiles", 0): number}, None)
    sink.close()
    place = {"project": __file__}
    with patch.object(surroundings, "_opened", lambda *_: opened):
        found = store(
            folder,
            {"type": "headrace.feast.online.HeadraceOnlineStore", **place},
            {"type": "headrace.feast.offline.HeadraceOfflineStore", **place},
        )
        found.apply(objects(objects_text(declaration)))
        call(found, ["sku-0"])
    return found


def theirs(folder: Path, online: dict[str, Any], values: pd.DataFrame) -> Any:
    """Feast over its own store, with the values that ours gives."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, Int64

    found = store(folder, online, {"type": "dask"})
    sku = Entity(name="sku", join_keys=["sku"], value_type=ValueType.STRING)
    columns = [name for name in values if name != "sku"]
    kinds = {name: Int64 if pd.api.types.is_integer_dtype(values[name]) else Float64 for name in columns}
    path = folder / "values.parquet"
    values = values.assign(event_timestamp=pd.Timestamp(datetime.fromtimestamp(NOW / 1000, UTC)))
    values.to_parquet(path)
    view = FeatureView(
        name=VIEW,
        entities=[sku],
        ttl=timedelta(days=100_000),
        schema=[Field(name=name, dtype=kind) for name, kind in kinds.items()],
        source=FileSource(name="values", path=str(path), timestamp_field="event_timestamp"),
    )
    found.apply([sku, view])
    found.write_to_online_store(VIEW, values)
    return found


def call(found: Any, skus: list[str]) -> dict[str, list[Any]]:
    names = [f"{VIEW}:{name.split('__')[1]}" for name in resolve(bench.parts, Path(__file__), "").windows]
    rows = [{"sku": sku} for sku in skus]
    answer: dict[str, list[Any]] = found.get_online_features(features=names, entity_rows=rows).to_dict()
    return answer


def timed(stores: dict[str, Any], count: int, calls: int) -> dict[str, list[float]]:
    """Microseconds of each call, the stores in turns."""
    names = [f"{VIEW}:{name.split('__')[1]}" for name in resolve(bench.parts, Path(__file__), "").windows]
    spent: dict[str, list[float]] = {name: [] for name in stores}
    for number in range(calls + 5):
        rows = [{"sku": f"sku-{(number * 37 + place * 11) % ENTITIES}"} for place in range(count)]
        for name, found in stores.items():
            begun = time.perf_counter()
            found.get_online_features(features=names, entity_rows=rows).to_dict()
            if number >= 5:
                spent[name].append((time.perf_counter() - begun) * 1e6)
    return spent


def wrong(stores: dict[str, Any], reference: Callable[[list[str]], dict[str, list[Any]]]) -> dict[str, float]:
    """The share of cells that are not those of the reference."""
    skus = [f"sku-{number}" for number in range(0, ENTITIES, 20)]
    wanted = reference(skus)
    shares = {}
    for name, found in stores.items():
        answer = call(found, skus)
        cells = [
            one == other or (pd.isna(one) and pd.isna(other))
            for column in wanted
            for one, other in zip(answer[column], wanted[column], strict=True)
            if column != "sku"
        ]
        shares[name] = 1 - sum(cells) / len(cells)
    return shares


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="feast_online", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args(argv)
    results: dict[str, float] = {}
    print(
        f"{ENTITIES:,} entities, 10 features; medians in us of {options.calls} calls for 1 entity, "
        f"{options.calls // 5} for 100"
    )
    print(f"{'tiles':8}{'entities':>9}{'store':>18}{'median':>10}{'p99':>10}{'to ours':>9}{'wrong cells':>13}")
    with (
        patch.object(WallClock, "now", lambda self: NOW),
        redis_address() as address,
        tempfile.TemporaryDirectory() as folder,
    ):
        for tiles, share in (("sparse", 0.1), ("dense", 1.0)):
            place = Path(folder) / tiles
            for name in ("a", "b", "c", "d"):
                (place / name).mkdir(parents=True)
            stores = {
                "ours sqlite": ours(place / "a", "sqlite:online.sqlite", share),
                "ours redis": ours(place / "b", f"redis:{address}/0?prefix={tiles}:", share),
            }
            values = pd.DataFrame(call(stores["ours sqlite"], [f"sku-{number}" for number in range(ENTITIES)]))
            sqlite = {"type": "sqlite", "path": str(place / "online.db")}
            stores["feast sqlite"] = theirs(place / "c", sqlite, values)
            redis = {"type": "redis", "connection_string": f"{address},db={1 + len(results) % 2}"}
            stores["feast redis"] = theirs(place / "d", redis, values)
            known = values.set_index("sku")
            shares = wrong(stores, lambda skus, known=known: known.loc[skus].to_dict("list"))
            for count, calls in ((1, options.calls), (100, options.calls // 5)):
                spent = timed(stores, count, calls)
                medians = {name: statistics.median(found) for name, found in spent.items()}
                for name, found in spent.items():
                    kind = name.split()[1]
                    ratio = medians[name] / medians[f"ours {kind}"]
                    p99 = statistics.quantiles(found, n=100)[98]
                    print(
                        f"{tiles:8}{count:9}{name:>18}{medians[name]:10.0f}{p99:10.0f}{ratio:9.2f}{shares[name]:13.4f}"
                    )
                    results[f"{tiles}_{count}_{name.replace(' ', '_')}_us"] = medians[name]
                    if name.startswith("feast"):
                        results[f"{tiles}_{count}_{kind}_ratio"] = ratio
    print(json.dumps({"benchmark": "feast_online", **{key: round(value, 2) for key, value in results.items()}}))
