"""Two small projects, and their roles in threads of this process: all but the model are the real ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR
from headrace.declare.load import read_project
from headrace.log.clock import MarkClock
from headrace.models.explanation import Explanation
from headrace.profiles import Profile
from headrace.roles.context import Context
from headrace.roles.supervisor import ROLES

BEGIN = 17_500 * DAY
END = BEGIN + 6 * HOUR
EACH = """
import headrace as hr
from headrace import Float, Str, Stream, Time, future, window

class Click(Stream, topic="clicks", key="page", time="at", lateness="1h"):
    page: Str
    weight: Float
    at: Time

clicks = hr.Project("clicks", entity="page")

@clicks.windows(Click, every="1h")
def recent(click):
    return {"count": window.count("2h", by="page"), "weight": window.sum(click.weight, "2h", by="page")}

@clicks.features
def now(request, recent):
    return {"weight": request.weight, "count": recent.count, "before": recent.weight}

@clicks.label(Click, examples=hr.each(Click))
def more(click):
    return future.count("1h")

@clicks.model(seed=1)
def train(x, y):
    raise NotImplementedError
"""
GRID = """
import headrace as hr
from headrace import Float, Str, Stream, Time, future

class Click(Stream, topic="clicks", key="page", time="at", lateness="1h"):
    page: Str
    weight: Float
    at: Time

clicks = hr.Project("clicks", entity="page")

@clicks.features
def now(request, calendar):
    return {"hour": calendar.hour, "page": request.page}

@clicks.label(Click, examples=hr.grid("1h", active="2h"))
def more(click):
    return future.count("1h")

@clicks.model(seed=1)
def train(x, y):
    raise NotImplementedError
"""


class Model:
    """The number of the features that are known."""

    sha256 = "ab" * 32
    spec = SimpleNamespace(
        task="regression",
        metrics={},
        baselines={},
        prediction=None,
        threshold=None,
        holdout=SimpleNamespace(last=BEGIN),
        embargo=0,
    )

    def predict(self, rows: Sequence[Any]) -> np.ndarray:
        return np.array([sum(value is not None for value in row.values()) for row in rows], float)

    def explain(self, rows: Sequence[Any]) -> list[Explanation]:
        return [Explanation(0.0, {name: float(value is not None) for name, value in row.items()}) for row in rows]


@dataclass
class Registry:
    """A registry with these versions."""

    versions: list[Any]

    def champion(self) -> Any:
        return self.versions[-1]

    def version(self, number: int) -> Any:
        return self.versions[number - 1]

    def load(self, version: Any) -> Model:
        return Model()


@dataclass(frozen=True)
class Modelled(Profile):
    """A profile whose registry is not MLflow's."""

    models: Any = field(default_factory=lambda: Registry([]))

    def open_registry(self, declaration: Declaration) -> Any:
        return self.models


@dataclass
class World:
    """A project under replay in a folder."""

    folder: Path
    declaration: Declaration
    server: str

    @property
    def profile(self) -> Profile:
        models = Registry([SimpleNamespace(number=1)])
        return Modelled(
            "local", self.folder / "home", server=self.server, partitions=2, clock="marks", models=models
        )

    @contextmanager
    def roles(self) -> Iterator[None]:
        contexts = [Context.of(role, self.declaration, self.profile) for role in ROLES]
        threads = [
            threading.Thread(target=import_module(f"headrace.roles.{context.role}").run, args=(context,))
            for context in contexts
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for context in contexts:
                context.stop.set()
            for thread in threads:
                thread.join()
            for context in contexts:
                context.log.close()

    def marks(self) -> list[int]:
        log = self.profile.open_log()
        clock = MarkClock(log, f"{self.declaration.name}.clock")
        found = [clock.mark() or 0, clock.closed() or 0]
        log.close()
        return found


def world_of(text: str, folder: Path, count: int = 9_000) -> World:
    """count: of events, some of them alike."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.py").write_text(text)
    at = np.sort(np.random.default_rng(5).integers(BEGIN, END, count))
    at[1::7] = at[0:-1:7][: len(at[1::7])]  # the same page, weight and time
    place = np.arange(count) // 2 % 20
    table = pa.table(
        {
            "page": [f"page {number}" for number in place],
            "weight": pa.array(place / 4),
            "at": pa.array(np.sort(at), pa.int64()).cast(pa.timestamp("ms")),
        }
    )
    pq.write_table(table, folder / "click.parquet")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{free.getsockname()[1]}"
    return World(folder, read_project(folder), server)


@pytest.fixture(params=[EACH, GRID], ids=["each", "grid without windows"])
def make_world(request: pytest.FixtureRequest) -> Callable[[Path], World]:
    return lambda folder: world_of(request.param, folder)


class Replays:
    """A process that replays in children: `run` gives the exit code, negative for a signal."""

    def __init__(self) -> None:
        program = str(Path(__file__).with_name("killable.py"))
        self._process = subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
        )

    def run(self, world: World, step: int, end: int, moment: int) -> int:
        """moment: the one at which it is killed, counted from its start (1 the first); 0 for none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{world.folder}\t{world.server}\t{step}\t{end}\t{moment}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def replays() -> Iterator[Replays]:
    made = Replays()
    yield made
    made.close()


KILLED = -signal.SIGKILL


@pytest.fixture
def killed() -> int:
    return int(KILLED)
