"""Where one stack lives: its home's folders, its ports, the cache, the JDKs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.stack.java import Jdk, choose_jdk
from headrace.stack.ports import LOOPBACK


@dataclass(frozen=True)
class Place:
    """Everything that a server needs to know to write its configuration and its command."""

    home: Path
    cache: Path
    ports: Mapping[str, int]
    jdks: Sequence[Jdk]

    def data(self, name: str) -> Path:
        """What a server keeps. `purge` drops it."""
        return self._made(self.home / "data" / name)

    def config(self, name: str) -> Path:
        """What is written anew at each start."""
        return self._made(self.home / "config" / name)

    def log(self, name: str) -> Path:
        return self._made(self.home / "logs") / f"{name}.log"

    def address(self, port: str) -> str:
        return f"{LOOPBACK}:{self.ports[port]}"

    def url(self, port: str) -> str:
        return f"http://{self.address(port)}"

    def java(self, least: int, purpose: str) -> Jdk:
        return choose_jdk(least, purpose, self.jdks)

    def _made(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
