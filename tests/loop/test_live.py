"""A live project under its supervisor: scored events enter the next history, letters are repaired, kills heal."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from headrace.archive.delta import Archive
from headrace.declare.duration import DAY, HOUR

PROJECT = Path(__file__).parents[1] / "projects" / "fraud.py"


def module(name: str) -> ModuleType:
    """A file beside this one. (Tests are no package.)"""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


payments, processes = module("payments"), module("processes")


def text_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


class Live:
    """`headrace up` on a project with history and a model."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project, self.server = folder / "home", folder, processes.free_server()
        self.cut = int(time.time()) * 1000 // HOUR * HOUR - HOUR
        payments.write(folder, begin=self.cut - 5 * DAY)
        (folder / "project.py").write_text(PROJECT.read_text().replace('"3d"', '"1d"'))
        for stream in ("payment", "chargeback"):
            file = str(folder / f"{stream}.history.parquet")
            self.run("backfill", str(folder), stream, file, "--until", text_of(self.cut))
        self.run("train", str(folder), "--until", text_of(self.cut))
        self.log = folder / "up.log"
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "up", str(folder), "--home", str(self.home)],
                env={**os.environ, "HEADRACE_SERVER": self.server}, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.client = httpx.Client(base_url=self.server, timeout=30)

    def run(self, *arguments: str) -> str:
        return str(processes.headrace(*arguments, "--home", str(self.home), server=self.server))

    def wait(self, what: str, true: Callable[[], Any], seconds: float = 90) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if found := true():
                    return found
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{what}\n{self.log.read_text()[-5_000:]}")

    def pay(self, name: str, card: str, amount: float) -> dict[str, Any]:
        row = {
            "payment_id": name, "card": card, "merchant": "m3", "amount": amount,
            "paid_at": text_of(int(time.time() * 1000)),
        }  # fmt: skip
        answer = self.client.post("/predict", json=row)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def served(self, name: str) -> dict[str, Any] | None:
        """A prediction as archived, by its payment."""
        rows = Archive(self.home / "archive").read("fraud.predictions").to_pylist()
        return next((row for row in rows if row["payment_id"] == name), None)

    def pid(self, role: str) -> int:
        found = subprocess.run(
            ["pgrep", "-f", f"headrace run {role} {self.project}"], capture_output=True, text=True, check=True
        )
        return int(found.stdout.split()[0])

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", str(self.project), "--json"))
        return found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = Live(tmp_path_factory.mktemp("live"))
    yield found
    found.client.close()
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()


@pytest.mark.timeout(600)
def test_a_live_project(live: Live) -> None:
    live.wait("the server is ready", lambda: live.client.get("/readyz").status_code == 200)

    # A new card: an empty history, and the answer says so. Its event is in the next one's history, not in its own.
    first = live.pay("new-1", "a new card", 20.0)
    assert first["unknown"] is True
    one = live.wait("the first prediction is archived", lambda: live.served("new-1"))
    assert one["feature__count_1h"] == 0

    def known() -> bool:
        return live.pay(f"probe-{time.monotonic_ns()}", "a new card", 10.0)["unknown"] is False

    live.wait("the event entered the history", known)

    # A payment that fails its check is a dead letter; repaired, it counts.
    bad = {
        "payment_id": "bad-1",
        "card": "card 1",
        "merchant": "m1",
        "amount": -5.0,
        "paid_at": text_of(int(time.time() * 1000)),
    }
    lines = live.project / "bad.jsonl"
    lines.write_text(json.dumps(bad) + "\n")
    live.run("produce", str(live.project), "payment", str(lines))

    def dead() -> list[dict[str, Any]]:
        listed = live.run("deadletters", "list", str(live.project), "--json", "--stream", "payment")
        found = [json.loads(line) for line in listed.splitlines()]
        return [letter for letter in found if letter["value"] and letter["value"]["payment_id"] == "bad-1"]

    (letter,) = live.wait("the bad payment is a dead letter", dead)
    assert letter["reason"] == "check:amount"
    letter["value"]["amount"] = 5.0
    lines.write_text(json.dumps(letter) + "\n")
    assert "fed 1 records back" in live.run("deadletters", "replay", str(live.project), str(lines))

    def repaired() -> list[Any]:
        rows = Archive(live.home / "archive").read("fraud.enriched.payment", columns=["payment_id", "amount"])
        return [row for row in rows.to_pylist() if row["payment_id"] == "bad-1"]

    assert live.wait("the repaired payment is enriched", repaired) == [{"payment_id": "bad-1", "amount": 5.0}]

    # Roles that are killed come back, and nothing is lost.
    for role in ("tile", "online", "enrich"):
        os.kill(live.pid(role), signal.SIGKILL)
    live.pay("after-kill", "another card", 30.0)

    def after() -> bool:
        return live.pay(f"probe-{time.monotonic_ns()}", "another card", 10.0)["unknown"] is False

    live.wait("the roles came back", after)
    live.wait("no role is behind", lambda: sum(role["lag"] or 0 for role in live.status()["roles"].values()) == 0)
    assert live.status()["model"]["version"] == 1

    live.process.send_signal(signal.SIGINT)
    assert live.process.wait(40) == 0, live.log.read_text()[-3_000:]
    told = live.log.read_text()
    assert "ended with signal SIGKILL" in told
    assert "Traceback" not in told, told[-5_000:]
    assert live.served("after-kill") is not None
