"""Processes that outlive the command that started them, known by pid and start time, never by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_DETACH: Final = '"$@" </dev/null >>"$LOG" 2>&1 & echo $!'
"""The shell ends at once, so init reaps the server, and no caller keeps a zombie of it."""


@dataclass(frozen=True)
class Process:
    """started: the kernel's start time in clock ticks since boot, so that a reused pid is not taken for ours."""

    pid: int
    started: int
    boot: str
    command: tuple[str, ...]

    def alive(self) -> bool:
        return self.boot == _boot() and _started(self.pid) == self.started

    def reaped(self) -> bool:
        """Whether its pid is free. A dead process keeps it until init has looked, and lock files count on that."""
        found = _stat(self.pid)
        return self.boot != _boot() or found is None or int(found[19]) != self.started

    def signal(self, number: signal.Signals) -> None:
        """To the process, if it is still ours."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """SIGKILL to it and to its children, and waits until it is gone."""
        if self.alive():
            try:
                os.killpg(os.getpgid(self.pid), signal.SIGKILL)
            except ProcessLookupError:
                return
        self.wait(10.0)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        until = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def memory(self) -> int:
        """Resident bytes."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def write(self, file: Path) -> None:
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(file)


def launch(command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path) -> Process:
    """Starts a command in its own session. Its output is appended to `log`."""
    run = subprocess.run(
        ["/bin/sh", "-c", _DETACH, "sh", *command],
        env={**os.environ, **environment, "LOG": str(log)},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        start_new_session=True,
    )
    pid = int(run.stdout)
    return Process(pid, _started(pid) or 0, _boot(), tuple(command))


def read_process(file: Path) -> Process | None:
    """What was recorded, alive or not."""
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return Process(found["pid"], found["started"], found["boot"], tuple(found["command"]))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> int | None:
    """None for a process that is gone or is a zombie."""
    found = _stat(pid)
    return None if found is None or found[0] == "Z" else int(found[19])


def _stat(pid: int) -> list[str] | None:
    """From the state on, which is the third."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the command before it may hold spaces and parentheses
