"""The unchanged inventory project on both profiles, all roles as real processes: the same numbers."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from tests.loop.processes import free_server, headrace
from tests.parity import results

from headrace.compile.load import load
from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR, MINUTE
from headrace.profiles import Profile, read_profile
from headrace.stack import Stack

PROJECT = Path(__file__).parents[2] / "examples" / "inventory" / "project.py"
CATEGORIES = ("BEEF", "MILK", "BREAD", "FRÜCHTE")
STORES = (1, 2, 3)
SLACK = 1e-9
pytestmark = pytest.mark.faults


class Deployment:
    """`headrace up` of the inventory project on one profile."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder, self.profile, self.server = folder, profile, free_server()
        self.declaration: Declaration = load(folder / "inventory")
        self.log = folder / f"{profile}.log"
        self.client = httpx.Client(base_url=self.server, timeout=60)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: str, *arguments: str) -> str:
        there = os.getcwd()
        os.chdir(self.folder)  # where .headrace/stack is
        try:
            return str(headrace(command, "inventory", *arguments, "--profile", self.profile, server=self.server))
        finally:
            os.chdir(there)

    def up(self) -> None:
        with self.log.open("a") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "up", "inventory", "--profile", self.profile],
                cwd=self.folder, env={**os.environ, "HEADRACE_SERVER": self.server},
                stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def down(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(120) == 0, self.log.read_text()[-3_000:]
            self._process = None

    def wait(self, what: str, true: Callable[[], Any], seconds: float = 240) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if found := true():
                    return found
            except httpx.TransportError:
                pass
            time.sleep(0.3)
        raise AssertionError(f"{self.profile}: {what}\n{self.log.read_text()[-5_000:]}")

    def opened(self) -> Profile:
        there = os.getcwd()
        os.chdir(self.folder)
        try:
            return read_profile(self.declaration, self.profile)
        finally:
            os.chdir(there)

    def caught_up(self, events: int) -> bool:
        found = json.loads(self.run("status", "--json"))
        judged = sum(found["topics"].get(f"demand.{kind}.purchase", 0) for kind in ("enriched", "dead"))
        return judged >= events and all(not row["lag"] for row in found["roles"].values())

    def ask(self) -> list[dict[str, Any]]:
        rows = [{"category": category, "store_id": store} for category in CATEGORIES for store in STORES]
        answer = self.client.post("/predict", json={"rows": rows})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found


def text_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def write_data(folder: Path) -> int:
    """Tables, 50 days of history, and live purchases of the last hour (some invalid); where history ends."""
    pick = random.Random(3)
    data = folder / "inventory" / "data"
    data.mkdir(parents=True)
    products = [{"product_id": n, "category": CATEGORIES[n % 4], "department": "food"} for n in range(40)]
    pl.DataFrame(products).write_parquet(data / "products.parquet")
    (data / "stores.csv").write_text("store_id,region\n1,north\n2,süd\n")
    (data / "suppliers.csv").write_text(
        "category,supplier,lead_days\n" + "".join(f"{c},S{n},{n + 1}\n" for n, c in enumerate(CATEGORIES))
    )
    now = int(time.time() * 1000)
    cut = now // HOUR * HOUR - HOUR
    for name, begin, end, count in (
        ("history", cut - 50 * DAY, cut, 30_000),
        ("live", now - 20 * MINUTE, now, 4_000),
    ):
        rows = [
            {
                "store_id": pick.choice(STORES),
                "product_id": pick.randrange(45),
                "household_id": pick.randrange(99),
                "units": pick.choice([1, 1, 2, 3, 5, 0]), "price": round(pick.uniform(0.5, 20), 2),
                "sold_at": datetime.fromtimestamp(pick.randrange(begin, end) / 1000, UTC),
            }
            for _ in range(count)
        ]  # fmt: skip
        pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
    return cut


@pytest.fixture(scope="module")
def deployments(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Deployment]]:
    stack.start("kafka", "registry", "flink", "postgres", "redis")
    folder = tmp_path_factory.mktemp("cluster")
    cut = write_data(folder)
    shutil.copy(PROJECT, folder / "inventory" / "project.py")
    (folder / ".headrace").mkdir()
    (folder / ".headrace" / "stack").symlink_to(stack.home)
    both = Deployment(folder, "local"), Deployment(folder, "cluster")
    try:
        for each in both:
            each.run("backfill", "purchase", str(folder / "history.parquet"), "--until", text_of(cut))
            if each.profile == "local":
                each.run("train", "--until", text_of(cut))
            else:  # the same model: only its features are the other profile's
                models = folder / "inventory" / ".headrace"
                shutil.copytree(models / "models", models / "cluster" / "models")
            each.up()
            each.run("produce", "purchase", str(folder / "live.parquet"))
            each.wait("the server is ready", lambda each=each: each.client.get("/readyz").status_code == 200)
            each.wait("all is read", lambda each=each: each.caught_up(4_000))
        yield both
    finally:
        for each in both:
            each.down()
            each.client.close()


def rows_of(each: Deployment, which: str) -> list[dict[str, Any]]:
    """Enriched records or dead letters, but for when they arrived: each profile had its own producer."""
    profile = each.opened()
    log, schemas = profile.open_log(), profile.open_schemas()
    if which == "enriched":
        found = results.enriched(log, schemas, each.declaration, "purchase")
    else:
        found = results.dead(log, each.declaration, "purchase")
    log.close()
    return [{name: value for name, value in row.items() if "arrival" not in name} for row in found]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", ["enriched", "dead"])
def test_records_are_equal(deployments: tuple[Deployment, Deployment], which: str) -> None:
    here, there = (
        sorted(rows_of(each, which), key=lambda row: json.dumps(row, default=str, sort_keys=True))
        for each in deployments
    )
    assert len(here) == len(there) > 300
    assert here == there


@pytest.mark.timeout(900)
def test_tiles_are_equal(deployments: tuple[Deployment, Deployment]) -> None:
    found = []
    for each in deployments:
        profile = each.opened()
        log, schemas = profile.open_log(), profile.open_schemas()
        found.append([results.merged(log, schemas, each.declaration, history=history) for history in (False, True)])
        log.close()
    for here, there in zip(*found, strict=True):
        assert set(here) == set(there)
        assert len(here) > 10
        different = {place: results.differences(here[place], there[place], SLACK) for place in here}
        assert {place: each for place, each in different.items() if each} == {}


@pytest.mark.timeout(900)
def test_features_and_predictions_are_equal(deployments: tuple[Deployment, Deployment]) -> None:
    asked = [each.ask() for each in deployments]
    assert not any(answer["unknown"] for answers in asked for answer in answers)
    for each in deployments:
        each.wait("predictions are archived", lambda each=each: len(served(each)) >= len(asked[0]))
    here, there = (
        [served(each)[answer["id"]] for answer in answers] for each, answers in zip(deployments, asked, strict=True)
    )
    for one, other in zip(here, there, strict=True):
        names = [name for name in one if name.startswith("feature__")] + ["category", "store_id"]
        assert len(names) > 10
        assert results.differences({n: one[n] for n in names}, {n: other[n] for n in names}, SLACK) == {}
        assert one["_prediction"] == pytest.approx(other["_prediction"], rel=1e-6)


def served(each: Deployment) -> dict[str, dict[str, Any]]:
    """Predictions as archived, by id."""
    archive = each.opened().open_archive(each.declaration)
    if "demand.predictions" not in archive.topics():
        return {}
    return {row["_id"]: row for row in archive.read("demand.predictions").to_pylist()}


@pytest.mark.timeout(900)
def test_down_and_up_goes_on_where_it_was(deployments: tuple[Deployment, Deployment]) -> None:
    _, there = deployments
    before = len(rows_of(there, "enriched")) + len(rows_of(there, "dead"))
    there.down()
    there.run("produce", "purchase", str(there.folder / "live.parquet"))
    there.up()
    there.wait("the server is ready again", lambda: there.client.get("/readyz").status_code == 200)
    there.wait("all is read again", lambda: there.caught_up(before + 4_000))
    assert len(rows_of(there, "enriched")) + len(rows_of(there, "dead")) == before + 4_000
