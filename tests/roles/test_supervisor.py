"""The supervisor: a role that ends is started again, ever later; all stop cleanly when told to."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from headrace.roles import supervisor
from headrace.roles.supervisor import Supervised

LONG = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LONG}"


class Said:
    """Collects lines, and waits for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()

    def __call__(self, role: str, line: str) -> None:
        with self._news:
            self.lines.append(f"{role}: {line}")
            self._news.notify_all()

    def wait(self, wanted: Callable[[list[str]], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: wanted(self.lines), timeout=30), self.lines


def tend_until(role: Supervised, said: Said, wanted: Callable[[list[str]], bool]) -> None:
    until = time.monotonic() + 30
    while not wanted(said.lines):
        assert time.monotonic() < until, said.lines
        role.tend()
        time.sleep(0.005)


def test_what_ends_is_started_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF", 0.01)
    said = Said()
    role = Supervised("tile", [sys.executable, "-c", "print('begun'); raise SystemExit(3)"], said)
    tend_until(role, said, lambda lines: sum("ended with exit code 3" in line for line in lines) >= 3)
    assert role._backoff == pytest.approx(0.01 * 2**3)


def test_a_kill_is_told_by_its_signal() -> None:
    said = Said()
    role = Supervised("online", [sys.executable, "-c", LONG], said)
    role.tend()
    said.wait(lambda lines: "online: up" in lines)
    assert role._process is not None
    role._process.kill()
    tend_until(role, said, lambda lines: any("ended with signal SIGKILL" in line for line in lines))
    role.terminate()
    role.wait(time.monotonic() + 10)


def test_a_role_that_will_not_stop_is_killed() -> None:
    said = Said()
    role = Supervised("serve", [sys.executable, "-c", STUBBORN], said)
    role.tend()
    said.wait(lambda lines: "serve: up" in lines)
    role.terminate()
    role.wait(time.monotonic() + 0.2)
    assert role.pid is None
    assert any("killed" in line for line in said.lines)
