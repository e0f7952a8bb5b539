"""`Stack`: installs, starts, kills, stops the servers of one home."""

from __future__ import annotations

import fcntl
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from headrace.errors import StackError
from headrace.stack import packages
from headrace.stack.cache import cache_folder
from headrace.stack.java import Jdk, find_jdks
from headrace.stack.place import Place
from headrace.stack.ports import choose_ports
from headrace.stack.process import Process
from headrace.stack.profile import read_ports, write_profile
from headrace.stack.records import Records
from headrace.stack.server import Server
from headrace.stack.servers import GROUPS, PORTS, SERVERS, named, needed
from headrace.stack.starting import Say, Starting, problem_of

HOME: Final = ".headrace/stack"
"""Where a stack lives unless told otherwise, under the current folder."""
_GRACE: Final = 30.0
"""Seconds that a server has to stop cleanly before it is killed."""


@dataclass(frozen=True)
class Status:
    """pid: None when it does not run. problem: why it cannot be used. memory: resident bytes."""

    name: str
    address: str
    pid: int | None
    healthy: bool
    problem: str | None
    memory: int


class Stack:
    """The servers of one home.

    >>> stack = Stack(Path(".headrace/stack"))
    >>> stack.start("kafka", "registry")             # doctest: +SKIP
    >>> stack.kill("kafka-2"); stack.start("kafka")  # doctest: +SKIP
    """

    def __init__(self, home: Path, cache: Path | None = None, say: Say = lambda name, what: None) -> None:
        self.home = home.resolve()
        self.cache = cache or cache_folder()
        self._say = say
        self._records = Records(self.home)

    @property
    def profile(self) -> Path:
        """The file that leads to the servers: `[profiles.cluster]`."""
        return self.home / "stack.toml"

    @property
    def place(self) -> Place:
        """With the ports of the last start.

        Errors: StackError before the first one.
        """
        ports = read_ports(self.profile)
        if not set(PORTS) <= set(ports):
            raise StackError(f"stack {self.home}", "it was never started", self.command("up"))
        return Place(self.home, self.cache, ports, self.jdks)

    @cached_property
    def jdks(self) -> list[Jdk]:
        return find_jdks()

    def command(self, words: str) -> str:
        """What to type for this home."""
        home = "" if self.home == Path(HOME).resolve() else f" --home {self.home}"
        return f"headrace stack {words}{home}"

    def install(self, *names: str) -> None:
        """Fetches what the servers of these names need and is not there."""
        servers = needed(names)
        jar_sets = list({server.jars.name: server.jars for server in servers if server.jars}.values())
        wanted = [server.package for server in servers if server.package]
        if any(jars.missing(self.cache) for jars in jar_sets):
            wanted.append(packages.MAVEN)
        for name in packages.install(wanted):
            self._say(name, "installed")
        for jars in jar_sets:
            if jars.install(self.cache):
                self._say(jars.name, f"jars fetched and checked: {jars.folder(self.cache)}")

    def start(self, *names: str) -> None:
        """Starts the servers of these names, and what they need; what runs is kept. Returns when all are ready.

        Errors: StackError naming the first server that is not ready, with the end of its log.
        """
        servers = needed(names)
        self.install(*names)
        with self._locked():
            place = self._choose_place()
            for server in servers:
                if server.java:
                    place.java(server.java, server.name)
            write_profile(self.profile, place)
            Starting(place, self._records, self._say, self.command).run(servers)

    def stop(self, *names: str) -> None:
        """Asks the servers of these names to stop, all at once, and kills those that do not."""
        with self._locked():
            self._stop(named(names))

    def purge(self) -> None:
        """Stops everything and drops all data, logs and configuration; the ports are forgotten too."""
        with self._locked():
            self._stop(named(()))
            for folder in ("data", "logs", "config"):
                shutil.rmtree(self.home / folder, ignore_errors=True)
            self.profile.unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """kill -9 of the servers of this name, which are gone when it returns; `start` brings them back."""
        for server in named([name]):
            process = self._records.running(server.name)
            if process is None:
                raise StackError(server.name, "it does not run", self.command(f"up {server.name}"))
            process.kill()

    def restart(self, name: str) -> None:
        """Stops it cleanly where it runs, and starts it."""
        self.stop(name)
        self.start(name)

    def pause(self, name: str) -> None:
        """SIGSTOP: alive, and answers nothing, until `resume`."""
        for server in named([name]):
            if process := self._records.running(server.name):
                process.signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        for server in named([name]):
            if process := self._records.running(server.name):
                process.signal(signal.SIGCONT)

    def address(self, name: str) -> str:
        """What a client needs: host:port of all nodes for `kafka`, a URL for the rest.

        `flink` is the job manager's REST, `gateway` takes SQL.
        """
        first = GROUPS.get(name, (name,))[0]
        (server,) = named([first])
        return server.address(self.place)

    def log(self, name: str) -> Path:
        return self.place.log(name)

    def started(self) -> dict[str, Process]:
        """The servers that were started and not stopped, alive or not."""
        return {name: process for name in SERVERS if (process := self._records.read(name)) is not None}

    def status(self, *names: str) -> list[Status]:
        """Each server, asked a real question."""
        servers, place = named(names), self.place
        with ThreadPoolExecutor(len(servers)) as pool:
            return list(pool.map(lambda server: self._status(server, place), servers))

    def _status(self, server: Server, place: Place) -> Status:
        process, address = self._records.running(server.name), server.address(place)
        if process is None:
            return Status(server.name, address, None, False, "it does not run", 0)
        problem = problem_of(server, place)
        return Status(server.name, address, process.pid, problem is None, problem, process.memory())

    def _stop(self, servers: Sequence[Server]) -> None:
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(self._stop_one, servers))

    def _stop_one(self, server: Server) -> None:
        process = self._records.running(server.name)
        if process is not None:
            process.signal(server.farewell)
            process.signal(signal.SIGCONT)  # a paused one hears it too
            if process.wait(_GRACE):
                self._say(server.name, "stopped")
            else:
                process.kill()
                self._say(server.name, f"killed: it did not stop in {_GRACE:.0f} s")
        self._records.forget(server.name)

    def _choose_place(self) -> Place:
        """Ports that a server of ours holds stay; while any runs, so do the others, which it knows."""
        kept = read_ports(self.profile)
        running = any(self._records.running(name) for name in SERVERS)
        return Place(self.home, self.cache, choose_ports(PORTS, kept, PORTS if running else ()), self.jdks)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        (self.home / "run").mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
