"""Serving under an open loop at fixed rates: fraud with its features looked up, against the usual server.

`headrace run serve` (one process: store read, prediction log, shipping to the topics) and a server as it is usually
written (FastAPI, joblib, a pandas frame a request; it looks nothing up and logs nothing) answer the same model in
the same run, one after the other, each pinned to one core; vegeta asks from the other core, at rates that do not
wait for answers. The store is filled by the real enrichment and tiles of payments of the last week. `most` is the
throughput of 16 callers that do wait. Needs Linux with two cores, and Go to build vegeta once. Run: `python -m
benchmarks serving`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pyarrow as pa
import xgboost

from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.features.online import OnlineSink
from headrace.features.vector import Vectors
from headrace.log.consumer import Consumer
from headrace.models.artifact import Span, Spec, save
from headrace.models.baseline import Baseline
from headrace.models.encoding import Encoding
from headrace.profiles import Profile
from headrace.stack.cache import cache_folder
from headrace.stream.enricher import Enricher
from headrace.stream.producer import Producer
from headrace.stream.tables import Tables
from headrace.stream.tiler import Tiler

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "tests" / "projects" / "fraud.py"
VEGETA = "github.com/tsenart/vegeta/v12@v12.12.0"
CARDS, MERCHANTS, SECTORS, WEEK = 1_000, 200, 12, 7 * 86_400_000
OURS, USUAL = 8931, 8932


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks serving", description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[500, 1_000, 2_000])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--payments", type=int, default=50_000)
    parser.add_argument("--only", choices=["headrace", "usual"])
    options = parser.parse_args(argv)
    vegeta = built()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        requests, vectors = prepared(home, options.payments)
        commands = {
            "headrace": (["-m", "headrace", "run", "serve", str(home / "project.py")], OURS, requests),
            "usual": ([str(ROOT / "benchmarks" / "_usual_server.py"), folder, str(USUAL)], USUAL, vectors),
        }
        result: dict[str, Any] = {"benchmark": "serving"}
        print(f"{'server':10}{'asked/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'answered':>10}")
        for name, (command, port, bodies) in commands.items():
            if options.only in (None, name):
                with running(command, port, bodies[0]):
                    measured(name, vegeta, home, port, bodies, options.rates, options.seconds, result)
        if options.only is None:
            result["ratio"] = round(result["headrace.most"] / result["usual.most"], 2)
            print(f"headrace answers {result['ratio']} times as many as the usual server")
        print(json.dumps(result))


def measured(
    name: str, vegeta: Path, home: Path, port: int, bodies: list[Any], rates: list[int], seconds: int,
    result: dict[str, Any],
) -> None:  # fmt: skip
    targets = home / f"{name}.targets"
    header = {"content-type": ["application/json"]}
    targets.write_text("".join(
        json.dumps({
            "method": "POST", "url": f"http://127.0.0.1:{port}/predict", "header": header,
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
        }) + "\n"
        for body in bodies
    ))  # fmt: skip
    attack(vegeta, targets, ["-rate=200", "-duration=3s"])  # warm
    for rate in rates:
        found = attack(vegeta, targets, [f"-rate={rate}", f"-duration={seconds}s"])
        line = {key: found["latencies"][key] / 1e6 for key in ("50th", "99th", "max")}
        print(f"{name:10}{rate:10,}" + "".join(f"{ms:10.2f}" for ms in line.values()) + f"{found['success']:10.2%}")
        result |= {f"{name}.{rate}.{key}": round(ms, 2) for key, ms in line.items()}
        result[f"{name}.{rate}.success"] = found["success"]
    found = attack(vegeta, targets, ["-rate=0", "-max-workers=16", f"-duration={seconds}s"])
    result[f"{name}.most"] = round(found["throughput"])
    print(f"{name:10}{'most':>10}{found['throughput']:10,.0f}/s")


def attack(vegeta: Path, targets: Path, options: list[str]) -> Any:
    run = ["taskset", "-c", "1", str(vegeta)]
    command = [*run, "attack", "-format=json", f"-targets={targets}", *options]
    environment = {**os.environ, "GOMAXPROCS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as attacker:
        report = subprocess.run(
            [*run, "report", "-type=json"], stdin=attacker.stdout, capture_output=True, check=True
        )
    return json.loads(report.stdout)


@contextmanager
def running(command: list[str], port: int, body: Any) -> Iterator[None]:
    """A server on core 0, from its first answer on."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    server = subprocess.Popen(
        ["taskset", "-c", "0", sys.executable, *command], env=os.environ | one, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(1_000):
            try:
                if httpx.post(f"http://127.0.0.1:{port}/predict", json=body).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        else:
            raise RuntimeError(f"{command} does not answer")
        yield
    finally:
        server.terminate()
        server.wait()


def built() -> Path:
    """vegeta, built from its Go module where it is not there yet."""
    place = cache_folder() / "bin" / "vegeta"
    if not place.exists():
        if shutil.which("go") is None:
            raise SystemExit("this benchmark needs Go to build vegeta: install Go, or put vegeta at " + str(place))
        subprocess.run(["go", "install", VEGETA], env=os.environ | {"GOBIN": str(place.parent)}, check=True)
    return place


def prepared(home: Path, payments: int) -> tuple[list[Any], list[Any]]:
    """A home with a filled store and a champion; requests, and the same as whole vectors for the usual server."""
    shutil.copyfile(PROJECT, home / "project.py")
    (home / "headrace.toml").write_text(f'[profiles.local]\nserver = "http://127.0.0.1:{OURS}"\n')
    random = np.random.default_rng(3)
    sectors = [f"sector {random.integers(SECTORS)}" for _ in range(MERCHANTS)]
    rows = [f"m{place},{sector},{random.random():.3f}" for place, sector in enumerate(sectors)]
    (home / "merchants.csv").write_text("merchant,sector,risk\n" + "\n".join(rows) + "\n")
    declaration = read_project(home / "project.py")
    profile = Profile("local", home / ".headrace")
    profile.home.mkdir()
    now = time.time_ns() // 1_000_000
    filled(declaration, profile, home, payments, now, random)

    def asked(place: int) -> dict[str, Any]:
        card, merchant = f"c{random.integers(CARDS)}", f"m{random.integers(MERCHANTS)}"
        return {"payment_id": f"r{place}", "card": card, "merchant": merchant, "amount": float(random.gamma(2, 30))}

    requests = [asked(place) for place in range(5_000)]
    store = profile.open_online()
    served = Vectors(declaration, store, lambda: now).serve([{**one, "paid_at": now} for one in requests])
    store.close()
    known = sum(not one.unknown for one in served) / len(served)
    print(f"{payments:,} payments of {CARDS:,} cards; {known:.0%} of the requests find a history")
    vectors = [one.values for one in served]
    crowned(declaration, profile, home, vectors)
    return [{**one, "paid_at": "2017-03-01T12:00:00Z"} for one in requests], vectors


def filled(declaration: Declaration, profile: Profile, home: Path, payments: int, now: int, random: Any) -> None:
    """Payments of the last week, through the real enrichment and tiles into the store."""
    log, schemas = profile.open_log(), profile.open_schemas()
    tables = Tables(declaration, log, schemas, clock=lambda: now - WEEK, root=home)
    tables.step()
    tables.close()
    times = np.sort(now - random.integers(1_000, WEEK, payments))
    found = pa.table({
        "payment_id": [f"p{place}" for place in range(payments)],
        "card": [f"c{card}" for card in random.integers(0, CARDS, payments)],
        "merchant": [f"m{merchant}" for merchant in random.integers(0, MERCHANTS, payments)],
        "amount": random.gamma(2, 30, payments) + 0.01,
        "paid_at": pa.array(times).cast(pa.timestamp("ms")),
    })  # fmt: skip
    Producer(log, schemas, declaration.streams["payment"], partitions=6).send_table(found, times)
    Producer(log, schemas, declaration.streams["chargeback"], partitions=6).send_rows(
        [{"payment_id": "p0", "lost": 1.0, "filed_at": now - WEEK}], [now - WEEK]
    )
    for stage in (Enricher(declaration, log, schemas), Tiler(declaration, log, schemas, lambda view, vector: None)):
        while stage.step():
            pass
        stage.close()
    store = profile.open_online()
    sink = OnlineSink(declaration, schemas, store)
    consumer = Consumer(log, [topic for topic in sink.topics if not topic.endswith(".history")], sink)
    while consumer.step():
        pass
    store.close()
    log.close()


def crowned(declaration: Declaration, profile: Profile, home: Path, vectors: list[Any]) -> None:
    """One model, as the registry's champion and by joblib."""
    table = pa.table({
        feature.name: pa.array([one[feature.name] for one in vectors], feature.type.arrow)
        for feature in declaration.features
    })  # fmt: skip
    encoding = Encoding.frozen(declaration.features, table)
    matrix, x = encoding.table_matrix(table), encoding.frame(table)
    chance = np.random.default_rng(5).random(len(x))
    y = (chance < 0.02 + 0.2 * (x["amount"] > 120) + 0.1 * (x["risk"] > 0.8)).astype(np.int8)
    model = xgboost.XGBClassifier(n_estimators=60, max_depth=4, enable_categorical=True, n_jobs=1).fit(x, y)
    joblib.dump(model, home / "model.joblib")
    joblib.dump({c.name: list(c.levels) for c in encoding.columns if c.levels}, home / "levels.joblib")
    span = Span(0, 1, len(x))
    baselines = {
        feature.name: Baseline.of_levels(table.column(feature.name).to_pylist())
        if feature.type.kind == "str"
        else Baseline.of_numbers(matrix[:, place])
        for place, feature in enumerate(declaration.features)
    }
    spec = Spec(
        declaration.name, declaration.digest, "classification", declaration.label.name, encoding, {}, 11,
        f"xgboost {xgboost.__version__}", span, span, 0, {}, baselines,
        Baseline.of_numbers(model.predict_proba(x)[:, 1]), {},
    )  # fmt: skip
    save(home / "artifact", model, spec)
    registry = profile.open_registry(declaration)
    registry.promote(registry.register(home / "artifact", None, {}))
