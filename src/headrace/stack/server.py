"""What every server is to the stack: ports, a command, a question that only a working one answers."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.stack.jars import JarSet
from headrace.stack.packages import Package
from headrace.stack.place import Place


class NotReady(Exception):
    """Why a server cannot be used yet."""


@dataclass(frozen=True)
class Launch:
    """How to start a server."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Server(ABC):
    """One process of the stack.

    ports: names of the ports it listens on, the first of which is its address. after: servers that must be ready
    before it starts. memory: what it needs about, in MiB.
    """

    name: str
    ports: tuple[str, ...]
    after: tuple[str, ...] = ()
    jars: JarSet | None = None
    package: Package | None = None
    java: int = 0
    """The least Java, 0 for none."""
    memory: int
    patience: float = 120.0
    """Seconds that it may take to get ready."""
    farewell: signal.Signals = signal.SIGTERM
    """What asks it to stop cleanly."""

    @abstractmethod
    def launch(self, place: Place) -> Launch:
        """Writes its configuration and says how to start it."""

    @abstractmethod
    def ask(self, place: Place) -> None:
        """Asks a real question; NotReady (or an OSError) when the answer is not that of a working server."""

    @abstractmethod
    def address(self, place: Place) -> str:
        """What a client needs to reach it."""

    def settle(self, place: Place) -> None:  # noqa: B027 most have nothing to set up
        """Sets up, once it is ready, what others expect to find. May run again at any time."""
