"""Predictions are shipped by a process of their own: started again, told of, gone with the server."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.errors import LogError
from headrace.profiles import Profile
from headrace.roles.shipping import Shipping, folder_of
from headrace.serving.segment import SegmentWriter

INVENTORY = Path(__file__).parents[2] / "examples" / "inventory" / "project.py"


class Server:
    """What the role `serve` does of it."""

    def __init__(self, folder: Path) -> None:
        (folder / "inventory").mkdir()
        shutil.copy(INVENTORY, folder / "inventory" / "project.py")
        self.declaration: Declaration = read_project(folder / "inventory")
        self.profile = Profile("local", folder / "home")
        self.segments = SegmentWriter(folder_of(self.profile))
        self.shipping = Shipping(self.declaration, self.profile)
        self.closing = threading.Event()
        self.threads = ThreadPoolExecutor(1)
        self.job: Future[None] = self.threads.submit(self.shipping.run, self.closing)

    def log(self, *ids: str) -> None:
        row = {"_t": 1, "_made": 1, "_model": "1", "_prediction": 0.5, "_unknown": True, "_decision": None}
        keys = dict.fromkeys(self.declaration.entity, "MILK") | {"store_id": 1}
        self.segments.append([{"_id": known, **row, **keys} for known in ids])

    def shipped(self) -> int:
        log = self.profile.open_log()
        topic = Topics.of(self.declaration).predictions
        try:
            if topic not in {known.name for known in log.topics()}:
                return 0
            return sum(end for _, end in log.bounds(topic))
        finally:
            log.close()

    def close(self) -> None:
        self.closing.set()
        self.job.result(timeout=60)
        self.threads.shutdown()
        self.segments.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    found.close()


def wait(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def children() -> list[int]:
    """Processes that ship for this one."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"headrace.roles.shipping" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_what_is_logged_is_shipped_and_a_killed_process_comes_back(server: Server) -> None:
    assert server.shipping.problem is not None
    server.log("a", "b")
    wait(lambda: server.shipped() == 2)
    wait(lambda: server.shipping.problem is None and server.shipping.unshipped() == 0)
    [pid] = children()
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, os.getpid())
    os.kill(pid, signal.SIGTERM)  # as a terminal's Ctrl-C reaches it too: the server says when it ends
    server.log("c")
    wait(lambda: server.shipped() == 3)
    assert children() == [pid]
    os.kill(pid, signal.SIGKILL)
    server.log("d")
    wait(lambda: server.shipped() == 4)
    assert children() != [pid]


def test_the_rest_is_shipped_at_the_end(server: Server) -> None:
    wait(lambda: server.shipping.problem is None)
    for place in range(300):
        server.log(f"{place}")
    server.closing.set()
    server.job.result(timeout=60)
    assert server.shipped() == 300
    assert children() == []


def test_a_place_that_is_taken_is_told_and_waited_for(tmp_path: Path) -> None:
    other = Profile("local", tmp_path / "home").open_log()
    writer = other.writer("serve")
    server = Server(tmp_path)
    try:
        wait(lambda: "writer already" in (server.shipping.problem or ""))
        server.log("a")
        writer.close()
        wait(lambda: server.shipped() == 1)
        with pytest.raises(LogError, match="writer already"):
            other.writer("serve")
    finally:
        server.close()
        other.close()
