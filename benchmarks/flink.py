"""The engine on Flink against a PyFlink DataStream job: records a second, and task manager CPU seconds a million.

Both read a raw topic of the inventory's purchases (random ones), check, look two tables up, and write enriched
records, dead letters and tiles. Ours are the two SQL jobs as `headrace up` submits them. The other is what most
people write: Python functions with keyed state (benchmarks/pyflink_job.py), its tables in dictionaries; it runs by
`flink run -py` from an environment of its own that holds apache-flink (--pyflink PYTHON), and is left out without
one. Both run one after the other on the same cluster: `headrace stack up`, then
`python -m benchmarks flink --stack HOME`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.compile.load import load
from headrace.compile.tiles import TILE
from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.log.batches import Positions
from headrace.log.contract import Topic
from headrace.profiles import read_profile
from headrace.stack import Stack
from headrace.stack.flink import FLINK
from headrace.stream.producer import Producer
from headrace.stream.tables import Tables

PROJECT = Path(__file__).parents[1] / "examples" / "inventory" / "project.py"
CATEGORIES = 40
STORES = 100
PRODUCTS = 5_000


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks flink", description=__doc__)
    parser.add_argument("--stack", type=Path, default=Path(".headrace/stack"), help="the home of a running stack")
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--pyflink", type=Path, help="a Python that has apache-flink")
    options = parser.parse_args(argv)
    stack = Stack(options.stack)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        rows = [ours(Path(folder), stack, options.records)]
        if options.pyflink is not None:
            rows.append(theirs(Path(folder), stack, options.records, options.pyflink))
    for row in rows:
        print(
            f"{row['job']:10} {row['records_per_s']:>10,.0f} records/s  "
            f"{row['cpu_s_per_million']:>7.1f} CPU s a million"
        )
    if len(rows) == 2:
        rates = rows[0]["records_per_s"] / rows[1]["records_per_s"]
        cpus = rows[1]["cpu_s_per_million"] / rows[0]["cpu_s_per_million"]
        print(f"ratio: {rates:.1f} times the records a second, {cpus:.1f} times less CPU")
    print(json.dumps(rows))


def prepared(folder: Path, stack: Stack, records: int) -> tuple[Declaration, Any, str]:
    """The project with its tables, and its raw topic full of purchases; the declaration, profile and topic."""
    place = folder / "inventory"
    if not place.exists():
        (place / "data").mkdir(parents=True)
        shutil.copy(PROJECT, place / "project.py")
        _tables(place / "data")
        (folder / ".headrace").mkdir()
        (folder / ".headrace" / "stack").symlink_to(stack.home)
    os.chdir(folder)
    name = f"bench{int(time.time())}"
    declaration = load(place)
    stream = replace(declaration.streams["purchase"], topic=f"{name}.purchases")
    declaration = replace(declaration, name=name, streams={"purchase": stream})
    profile = read_profile(declaration, "cluster")
    log, schemas = profile.open_log(), profile.open_schemas()
    tables = Tables(declaration, log, schemas)
    tables.step()
    tables.close()
    producer = Producer(log, schemas, stream, partitions=profile.partitions)
    for begin in range(0, records, 50_000):
        producer.send_table(_purchases(min(50_000, records - begin), begin), _arrivals(records, begin))
    log.close()
    return declaration, profile, stream.topic


def _tables(data: Path) -> None:
    import polars as pl

    products = [
        {"product_id": n, "category": f"CATEGORY {n % CATEGORIES}", "department": "food"} for n in range(PRODUCTS)
    ]
    pl.DataFrame(products).write_parquet(data / "products.parquet")
    pl.DataFrame(products).write_csv(data / "products.csv")
    stores = "".join(f"{n},region {n % 7}\n" for n in range(STORES))
    (data / "stores.csv").write_text(f"store_id,region\n{stores}")
    suppliers = "".join(f"CATEGORY {n},supplier {n},{n % 9}\n" for n in range(CATEGORIES))
    (data / "suppliers.csv").write_text(f"category,supplier,lead_days\n{suppliers}")


BEGIN = 1_700_000_000_000


def _purchases(count: int, begin: int) -> pa.Table:
    pick = np.random.default_rng(begin)
    at = BEGIN + (begin + np.arange(count)) * 500
    return pa.table(
        {
            "store_id": pick.integers(0, STORES, count),
            "product_id": pick.integers(0, PRODUCTS, count),
            "household_id": pick.integers(0, 10**6, count),
            "units": np.where(pick.random(count) < 0.02, 0, pick.integers(1, 9, count)),
            "price": np.round(pick.random(count) * 20, 2),
            "sold_at": pa.array(at, pa.int64()).cast(pa.timestamp("ms")),
        }
    )


def _arrivals(records: int, begin: int) -> np.ndarray:
    count = min(50_000, records - begin)
    return BEGIN + (begin + np.arange(count)) * 500 + 100


def counted(log: Any, topic: str) -> int:
    """Records of a topic."""
    total = 0
    for partition, (offset, _) in enumerate(log.bounds(topic)):
        while batches := log.read(topic, partition, offset, 50_000):
            total += sum(batch.count for batch in batches)
            offset = batches[-1].end
    return total


def ends(log: Any, topics: list[str]) -> int:
    """Offsets written so far on topics."""
    there = {topic.name for topic in log.topics()}
    return sum(end for topic in topics if topic in there for _, end in log.bounds(topic))


def cpu(stack: Stack) -> float:
    """Seconds that the task manager and its children have used."""
    pid = stack.started()["taskmanager"].pid
    pids = [pid, *(int(found) for found in _children(pid))]
    total = 0
    for each in pids:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[str]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [*found, *(each for child in found for each in _children(int(child)))]


def measured(stack: Stack, done: Callable[[], int], step: Callable[[], None], wanted: int) -> tuple[float, float]:
    """Seconds and CPU seconds from the first output until as many records as wanted came out."""
    while done() == 0:
        step()
        time.sleep(0.05)
    begun, used = time.monotonic(), cpu(stack)
    while done() < wanted:
        step()
        time.sleep(0.1)
        if time.monotonic() - begun > 600:
            raise SystemExit(f"only {done():,} of {wanted:,} after 600 s")
    return time.monotonic() - begun, cpu(stack) - used


def ours(folder: Path, stack: Stack, records: int) -> dict[str, Any]:
    declaration, profile, _ = prepared(folder, stack, records)
    log, schemas = profile.open_log(), profile.open_schemas()
    topics = Topics.of(declaration)

    def past(view: View, below: Positions) -> pa.Table | None:
        return TILE.empty_table()

    enrich = profile.open_enricher(declaration, log, schemas)
    tile = profile.open_tiler(declaration, log, schemas, past)
    names = [topics.enriched("purchase"), topics.dead("purchase")]
    before = time.monotonic()

    def step() -> None:
        enrich.step()
        tile.step()

    try:
        seconds, used = measured(stack, lambda: ends(log, names), step, records)
        settled = ends(log, [topics.tiles])
        while True:  # until the tiles stand still
            time.sleep(1.0)
            step()
            now = ends(log, [topics.tiles])
            if now == settled:
                break
            settled = now
    finally:
        enrich.close()
        tile.close()
        log.close()
    return {
        "job": "headrace", "records": records, "seconds": round(seconds, 1),
        "records_per_s": records / seconds, "cpu_s_per_million": 1e6 * used / records,
        "to_first_output_s": round(time.monotonic() - before - seconds, 1),
    }  # fmt: skip


def theirs(folder: Path, stack: Stack, records: int, python: Path) -> dict[str, Any]:
    _, profile, topic = prepared(folder, stack, records)
    log = profile.open_log()
    outputs = [f"{topic}.py.enriched", f"{topic}.py.dead", f"{topic}.py.tiles"]
    for name in outputs:
        log.create(Topic(name, "producers", profile.partitions))
    schemas = profile.open_schemas()
    registered = schemas.latest(f"{topic}-value")
    assert registered is not None
    settings = {
        "servers": stack.address("kafka"), "topic": topic, "schema": registered.schema,
        "data": str(folder / "inventory" / "data"), "lateness": 3_600_000, "hop": 86_400_000,
    }  # fmt: skip
    job = Path(__file__).with_name("pyflink_job.py")
    flink = python.parent.parent / "lib"
    (binary,) = flink.glob("python*/site-packages/pyflink/bin/flink")
    profile_file = tomllib.loads(stack.profile.read_text())
    rest = profile_file["profiles"]["cluster"]["flink"]["rest"].removeprefix("http://")
    jars = FLINK.folder(stack.cache)
    kafka = [*jars.glob("flink-connector-kafka-*.jar"), *jars.glob("kafka-clients-*.jar")]
    kafka += jars.glob("flink-connector-base-*.jar")
    classpath = [part for jar in kafka for part in ("-C", jar.as_uri())]
    command = [
        str(binary), "run", "--detached", "-m", rest, "-pyexec", str(python), "-pyclientexec", str(python),
        "-p", "3", *classpath, "-py", str(job), json.dumps(settings),
    ]  # fmt: skip
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"PyFlink: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    seconds, used = measured(stack, lambda: ends(log, outputs[:2]), lambda: None, records)
    log.close()
    return {
        "job": "pyflink", "records": records, "seconds": round(seconds, 1),
        "records_per_s": records / seconds, "cpu_s_per_million": 1e6 * used / records,
        "to_first_output_s": round(time.monotonic() - begun - seconds, 1),
    }  # fmt: skip
