"""Which processes a home has started: one file each."""

from __future__ import annotations

from pathlib import Path

from headrace.stack.process import Process, read_process


class Records:
    """A record means that a server was started and not stopped, whether it is alive or not."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "run"

    def read(self, name: str) -> Process | None:
        return read_process(self._folder / f"{name}.json")

    def running(self, name: str) -> Process | None:
        process = self.read(name)
        return process if process is not None and process.alive() else None

    def write(self, name: str, process: Process) -> None:
        process.write(self._folder / f"{name}.json")

    def forget(self, name: str) -> None:
        (self._folder / f"{name}.json").unlink(missing_ok=True)
