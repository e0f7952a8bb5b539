"""The roles of a project as real processes, for tests of the whole loop."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from headrace.roles.supervisor import ROLES


def headrace(*arguments: str, server: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "HEADRACE_SERVER": server}, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"headrace {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def free_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


class Roles:
    """All roles under replay. slowed: roles that are held up at random instants for random times."""

    def __init__(self, project: Path, home: Path, server: str, slowed: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", "headrace", "run"]
        self._options = [str(project), "--home", str(home), "--marks"]
        self._environment = {**os.environ, "HEADRACE_SERVER": server}
        self._log = home / "roles.log"
        self._slowed = slowed
        self._done = threading.Event()

    def __enter__(self) -> Roles:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._log.open("w")
        self.processes = {
            role: subprocess.Popen(
                [*self._command, role, *self._options], env=self._environment, stdout=self._file,
                stderr=subprocess.STDOUT,
            )
            for role in ROLES
        }  # fmt: skip
        self._threads = [threading.Thread(target=self._hold_up, args=(role,)) for role in self._slowed]
        for thread in self._threads:
            thread.start()
        return self

    def _hold_up(self, role: str) -> None:
        chance = random.Random(role)
        process = self.processes[role]
        while not self._done.wait(chance.uniform(0.0, 0.1)):
            process.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.02, 0.15))
            process.send_signal(signal.SIGCONT)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        for process in self.processes.values():
            process.terminate()
        codes = {role: process.wait(20) for role, process in self.processes.items()}
        self._file.close()
        if kind is not None:
            print(self._log.read_text()[-6_000:])
        else:
            assert set(codes.values()) == {0}, (codes, self._log.read_text()[-6_000:])
