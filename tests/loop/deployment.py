"""`headrace up` of the inventory project as real processes on one profile, and small data for it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from tests.loop.processes import free_server, headrace

from headrace.compile.load import load
from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR, MINUTE
from headrace.profiles import Profile, read_profile

PROJECT = Path(__file__).parents[2] / "examples" / "inventory" / "project.py"
CATEGORIES = ("BEEF", "MILK", "BREAD", "FRÜCHTE")
STORES = (1, 2, 3, 4)


class Deployment:
    """`headrace up` of the inventory project on one profile."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder, self.profile, self.server = folder, profile, free_server()
        self.declaration: Declaration = load(folder / "inventory")
        self.log = folder / f"{profile}.log"
        self.client = httpx.Client(base_url=self.server, timeout=60)
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, command: str, *arguments: str) -> str:
        there = os.getcwd()
        os.chdir(self.folder)  # where .headrace/stack is
        try:
            return str(headrace(command, "inventory", *arguments, "--profile", self.profile, server=self.server))
        finally:
            os.chdir(there)

    def up(self) -> None:
        with self.log.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "up", "inventory", "--profile", self.profile],
                cwd=self.folder, env={**os.environ, "HEADRACE_SERVER": self.server},
                stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def down(self) -> None:
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(120) == 0, self.log.read_text()[-3_000:]
            self.process = None

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
    (data / "stores.csv").write_text("store_id,region\n1,north\n2,süd\n3,süd\n")
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
