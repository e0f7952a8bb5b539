"""The engine on Flink against a PyFlink DataStream job: records a second, and task manager CPU seconds a million.

Both read a raw topic of the inventory's purchases (random ones), check, look two tables up, and write enriched
records, dead letters and tiles. Ours are the two SQL jobs as `headrace up` submits them. The other is what most
people write: Python functions with keyed state (benchmarks/pyflink_job.py), its tables in dictionaries; it runs by
`flink run -py` from an environment of its own that holds apache-flink (--pyflink PYTHON), and is left out without
one. Both run one after the other on the same cluster, and between them the embedded engine does the same work in
this process: `headrace stack up`, then `python -m benchmarks flink --stack HOME`.
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
from dataclasses import dataclass, replace
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
Job = Callable[[], None]
"""What a job needs done from outside from time to time."""
CATEGORIES = 40
STORES = 100
PRODUCTS = 5_000


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks flink", description=__doc__)
    parser.add_argument("--stack", type=Path, default=Path(".headrace/stack"), help="the home of a running stack")
    parser.add_argument("--records", type=int, default=2_000_000, help="for our job")
    parser.add_argument("--their-records", type=int, default=200_000, help="fewer: it takes that much longer")
    parser.add_argument("--pyflink", type=Path, help="a Python that has apache-flink")
    options = parser.parse_args(argv)
    stack = Stack(options.stack)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        rows = [ours(Path(folder), stack, options.records), embedded(Path(folder), options.records)]
        if options.pyflink is not None:
            rows.append(theirs(Path(folder), stack, options.their_records, options.pyflink))
    for each in rows:
        print(
            f"{each['job']:10} {each['records_per_s']:>10,.0f} records/s  "
            f"{each['cpu_s_per_million']:>7.1f} CPU s a million"
        )
    for each in rows[:2] if len(rows) == 3 else []:
        rates = each["records_per_s"] / rows[2]["records_per_s"]
        cpus = rows[2]["cpu_s_per_million"] / each["cpu_s_per_million"]
        print(f"{each['job']}: {rates:.1f} times pyflink's records a second, {cpus:.1f} times less CPU")
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


@dataclass(frozen=True)
class Measured:
    """What a job did from its first committed output until its last tile."""

    records: int
    seconds: float
    cpu: float


_STILL = 4.0
"""Seconds without a new tile after which a job has ended its work: many checkpoints and mini-batches."""


def measured(stack: Stack, judged: Callable[[], int], tiles: Callable[[], int], wanted: int, job: Job) -> Measured:
    """Steps a job until the wanted number of records is judged and no new tile comes.

    The first commit is where the clock begins, and what it holds is not counted: a job starts for half a minute.
    """
    while (first := judged()) == 0:
        job()
        time.sleep(0.02)
    begun, used = time.monotonic(), cpu(stack)
    seen, last, spent = (first, tiles()), begun, used
    while seen[0] < wanted or time.monotonic() - last < _STILL:
        job()
        time.sleep(0.1)
        if (now := (judged(), tiles())) != seen:
            seen, last, spent = now, time.monotonic(), cpu(stack)
        if time.monotonic() - begun > 900:
            raise SystemExit(f"only {judged():,} of {wanted:,} after 900 s")
    return Measured(wanted - first, last - begun, spent - used)


def ours(folder: Path, stack: Stack, records: int) -> dict[str, Any]:
    declaration, profile, _ = prepared(folder, stack, records)
    log, schemas = profile.open_log(), profile.open_schemas()
    topics = Topics.of(declaration)

    def past(view: View, below: Positions) -> pa.Table | None:
        return TILE.empty_table()

    enrich = profile.open_enricher(declaration, log, schemas)
    tile = profile.open_tiler(declaration, log, schemas, past)
    names = [topics.enriched("purchase"), topics.dead("purchase")]

    def step() -> None:
        enrich.step()
        tile.step()

    try:
        found = measured(stack, lambda: ends(log, names), lambda: ends(log, [topics.tiles]), records, step)
    finally:
        enrich.close()
        tile.close()
        log.close()
    return row("flink", found)


def embedded(folder: Path, records: int) -> dict[str, Any]:
    """The same project and purchases in the embedded engine, both roles in this process."""
    declaration = load(folder / "inventory")
    profile = read_profile(declaration, "local", folder / "embedded")
    log, schemas = profile.open_log(), profile.open_schemas()
    tables = Tables(declaration, log, schemas)
    tables.step()
    tables.close()
    producer = Producer(log, schemas, declaration.streams["purchase"], partitions=profile.partitions)
    for begin in range(0, records, 50_000):
        producer.send_table(_purchases(min(50_000, records - begin), begin), _arrivals(records, begin))
    begun, used = time.monotonic(), time.process_time()
    enrich = profile.open_enricher(declaration, log, schemas)
    tile = profile.open_tiler(declaration, log, schemas, lambda view, below: None)
    while enrich.step() + tile.step():
        pass
    found = Measured(records, time.monotonic() - begun, time.process_time() - used)
    enrich.close()
    tile.close()
    log.close()
    return row("embedded", found)


def row(job: str, found: Measured) -> dict[str, Any]:
    return {
        "job": job, "records": found.records, "seconds": round(found.seconds, 1),
        "records_per_s": round(found.records / found.seconds),
        "cpu_s_per_million": round(1e6 * found.cpu / found.records, 1),
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
    java = next(jdk for jdk in stack.jdks if jdk.version >= 17)
    environment = {
        **os.environ, "FLINK_HOME": str(binary.parents[1]), "JAVA_HOME": str(java.home),
        # beside the client, not sent along: the cluster has them, and a second copy is another class
        "HADOOP_CLASSPATH": ":".join(map(str, kafka)), "PATH": f"{python.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)  # the client's Python is another one
    command = [
        str(binary), "run", "--detached", "-m", rest, "-pyexec", str(python), "-pyclientexec", str(python),
        "-p", "3", "-py", str(job), json.dumps(settings),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"PyFlink: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    found = measured(stack, lambda: ends(log, outputs[:2]), lambda: ends(log, outputs[2:]), records, lambda: None)
    log.close()
    return row("pyflink", found)
