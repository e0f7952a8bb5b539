"""Supervises the roles of a project on one machine: restart with back-off, clean stop, one log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from headrace.roles.orphan import GRACE, SUPERVISOR

ROLES: Final = ("tables", "enrich", "tile", "archive", "online", "serve", "monitor")
_FIRST_BACKOFF: Final = 0.5
_LAST_BACKOFF: Final = 30.0
_HEALTHY: Final = 20.0
"""Seconds after which a role that runs is healthy, and its back-off begins anew."""


class Supervised:
    """One role's process, started again whenever it ends before it is told to."""

    def __init__(self, role: str, command: Sequence[str], say: Callable[[str, str], None]) -> None:
        self.role = role
        self._command = list(command)
        self._say = say
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0
        self._backoff = _FIRST_BACKOFF
        self._again_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def tend(self) -> None:
        """Starts the process when it is due; notices that it ended."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._again_at:
                self._start(now)
        elif (code := self._process.poll()) is not None:
            if now - self._started > _HEALTHY:
                self._backoff = _FIRST_BACKOFF
            self._relaying.join(timeout=1.0)  # its last words first
            self._say(self.role, f"ended with {_reason(code)}; again in {self._backoff:.1f} s")
            self._again_at = now + self._backoff
            self._backoff = min(2 * self._backoff, _LAST_BACKOFF)
            self._process = None

    def _start(self, now: float) -> None:
        self._started = now
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, SUPERVISOR: str(os.getpid())},
            start_new_session=True,  # Ctrl-C goes to the supervisor alone, which stops the roles in order
        )
        self._relaying = threading.Thread(target=self._relay, args=(self._process,), daemon=True)
        self._relaying.start()

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._say(self.role, line.rstrip())

    def terminate(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Waits for the end, and kills at `until` (monotonic seconds)."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._say(self.role, "did not stop in time: killed")
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._relaying.join(timeout=1.0)


class Supervisor:
    """All roles of a project."""

    def __init__(
        self,
        project: Path,
        options: Sequence[str],
        say: Callable[[str, str], None],
        roles: Sequence[str] = ROLES,
    ) -> None:
        base = [sys.executable, "-m", "headrace", "run"]
        self.roles = [Supervised(role, [*base, role, str(project), *options], say) for role in roles]
        self.stop = threading.Event()

    def run(self, idle: float = 0.1) -> None:
        """Tends the roles until `stop` is set, then stops them cleanly."""
        try:
            while not self.stop.is_set():
                for role in self.roles:
                    role.tend()
                self.stop.wait(idle)
        finally:
            for role in self.roles:
                role.terminate()
            until = time.monotonic() + GRACE
            for role in self.roles:
                role.wait(until)


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
