"""Freshness: milliseconds from producing an event until the online store answers with it, all roles as processes.

A small project with one window; the roles tables, enrich, tile and online run as on any machine. One event at a
time, each with a key of its own: its time begins before it is produced and ends when a read of its key counts it.
Run `python -m benchmarks freshness`, or with `--profile cluster --stack HOME` for a stack that runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headrace.compile.load import load
from headrace.declare.duration import HOUR
from headrace.features.contract import TileRange
from headrace.profiles import read_profile
from headrace.stream.producer import Producer

PROJECT = """
import headrace as hr
from headrace import Float, Str, Stream, Time, future, window

class Tick(Stream, topic="{name}.ticks", key="sku", time="at", lateness="1h"):
    sku: Str
    price: Float
    at: Time

{name} = hr.Project("{name}", entity="sku")

@{name}.check(Tick)
def valid(tick):
    return {{"price": tick.price > 0}}

@{name}.windows(Tick, every="1m")
def recent(tick):
    return {{"count": window.count("1h", by="sku")}}

@{name}.features
def now(recent):
    return {{"count": recent.count}}

@{name}.label(Tick, examples=hr.grid("1h", active="1h"))
def later(tick):
    return future.count("1h")

@{name}.model(seed=1)
def train(x, y):
    raise NotImplementedError
"""
ROLES = ("tables", "enrich", "tile", "online")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks freshness", description=__doc__)
    parser.add_argument("--profile", default="local")
    parser.add_argument("--stack", type=Path, default=Path(".headrace/stack"), help="the home of a running stack")
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds of events that do not count")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options)
    found.sort()
    row = {
        "profile": options.profile,
        "events": len(found),
        "p50_ms": round(statistics.median(found), 1),
        "p95_ms": round(found[int(0.95 * len(found))], 1),
        "p99_ms": round(found[int(0.99 * len(found))], 1),
    }
    print(f"event to served feature, profile {row['profile']}: ", end="")
    print(f"p50 {row['p50_ms']} ms, p95 {row['p95_ms']} ms, p99 {row['p99_ms']} ms ({row['events']} events)")
    print(json.dumps(row))


def measured(folder: Path, options: argparse.Namespace) -> list[float]:
    """Milliseconds of each event."""
    name = f"fresh{int(time.time())}"
    (folder / "project.py").write_text(PROJECT.format(name=name))
    if options.profile != "local":
        (folder / ".headrace").mkdir()
        (folder / ".headrace" / "stack").symlink_to(options.stack.resolve())
        os.chdir(folder)
    declaration = load(folder)
    profile = read_profile(declaration, options.profile)
    log, schemas = profile.open_log(), profile.open_schemas()
    producer = Producer(log, schemas, declaration.streams["tick"], partitions=profile.partitions)
    roles = [
        subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", role, str(folder), "--profile", options.profile],
            stdout=subprocess.DEVNULL,
        )
        for role in ROLES
    ]
    store = profile.open_online()
    (view,) = declaration.views.values()
    found: list[float] = []
    try:
        warm = None
        number = 0
        while len(found) < options.events:
            key = f"sku-{number}"
            number += 1
            now = time.time_ns() // 1_000_000
            begun = time.perf_counter()
            producer.send_rows([{"sku": key, "price": 1.0, "at": now}])
            wanted = [TileRange(view, key, now - HOUR)]
            while not seen(store.read(wanted, [], now + HOUR).partials):
                if time.perf_counter() - begun > 180:
                    raise SystemExit(f"event {number} was not seen within 180 s")
                time.sleep(0.001)
            took = 1_000 * (time.perf_counter() - begun)
            warm = warm or time.perf_counter()
            if time.perf_counter() - warm > options.warm_up:
                found.append(took)
            time.sleep(0.02)
    finally:
        for role in roles:
            role.terminate()
        for role in roles:
            role.wait(60)
        store.close()
        log.close()
    return found


def seen(partials: list[object]) -> bool:
    return bool(partials and partials[0] is not None and partials[0].n)  # type: ignore[attr-defined]
