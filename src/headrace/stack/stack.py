"""`Stack`: installs, starts, kills, stops the servers of one home."""

from __future__ import annotations

import fcntl
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
from headrace.stack.ports import choose_ports, is_free, listens
from headrace.stack.process import Process, launch, read_process
from headrace.stack.profile import read_ports, write_profile
from headrace.stack.server import NotReady, Server
from headrace.stack.servers import GROUPS, PORTS, SERVERS, named, needed

HOME: Final = ".headrace/stack"
"""Where a stack lives unless told otherwise, under the current folder."""
_GRACE: Final = 30.0
"""Seconds that a server has to stop cleanly before it is killed."""
_PAUSE: Final = 0.25
"""Seconds between two questions."""
_LINGERING: Final = 5.0
"""Seconds for which a killed server's children may hold its port, and its pid may stay taken."""

Say = Callable[[str, str], None]
"""Told a server's name and what happened to it."""


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
            with ThreadPoolExecutor(len(servers)) as pool:
                ready: dict[str, Future[None]] = {}
                stop = threading.Event()
                for server in sorted(servers, key=lambda server: len(server.after)):
                    waits = [ready[name] for name in server.after]
                    ready[server.name] = pool.submit(self._bring_up, server, place, waits, stop)
            for future in ready.values():
                future.result()

    def stop(self, *names: str) -> None:
        """Asks the servers of these names to stop, all at once, and kills those that do not."""
        servers = named(names)
        with self._locked():
            running = {server.name: (server, process) for server in servers if (process := self._running(server))}
            for server, process in running.values():
                process.signal(server.farewell)
            with ThreadPoolExecutor(max(len(running), 1)) as pool:
                for name, clean in zip(
                    running, pool.map(self._wait, (p for _, p in running.values())), strict=True
                ):
                    self._say(name, "stopped" if clean else f"killed: it did not stop in {_GRACE:.0f} s")
            for server in servers:
                self._record(server.name).unlink(missing_ok=True)

    def purge(self) -> None:
        """Stops everything and drops all data, logs and configuration; the ports are forgotten too."""
        self.stop()
        with self._locked():
            for folder in ("data", "logs", "config"):
                shutil.rmtree(self.home / folder, ignore_errors=True)
            self.profile.unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """kill -9 of the servers of this name, which are gone when it returns; `start` brings them back."""
        for server in named([name]):
            process = self._running(server)
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
            if process := self._running(server):
                process.signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        for server in named([name]):
            if process := self._running(server):
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
        found = {name: read_process(self._record(name)) for name in SERVERS}
        return {name: process for name, process in found.items() if process is not None}

    def status(self, *names: str) -> list[Status]:
        """Each server, asked a real question."""
        servers, place = named(names), self.place
        with ThreadPoolExecutor(len(servers)) as pool:
            return list(pool.map(lambda server: self._status(server, place), servers))

    def _status(self, server: Server, place: Place) -> Status:
        process = self._running(server)
        if process is None:
            return Status(server.name, server.address(place), None, False, "it does not run", 0)
        problem = None
        try:
            _ask(server, place)
        except (NotReady, OSError, ValueError, KeyError) as error:
            problem = str(error)
        address = server.address(place)
        return Status(server.name, address, process.pid, problem is None, problem, process.memory())

    def _bring_up(self, server: Server, place: Place, waits: Sequence[Future[None]], stop: threading.Event) -> None:
        for wait in waits:
            wait.result()
        try:
            process = self._running(server)
            if process is None:
                begun = time.monotonic()
                self._say(server.name, "starts")
                process = self._launch(server, place)
                self._await(server, place, process, stop)
                self._say(server.name, f"ready in {time.monotonic() - begun:.1f} s")
            else:
                self._await(server, place, process, stop)
                self._say(server.name, "runs already")
            server.settle(place)
        except BaseException:
            stop.set()
            raise

    def _launch(self, server: Server, place: Place) -> Process:
        how = server.launch(place)
        self._let_go(server, place)
        taken = [port for port in server.ports if not is_free(place.ports[port])]
        if taken:
            raise StackError(
                server.name,
                f"another process listens on its port {place.ports[taken[0]]}",
                f"end that process, or `{self.command('down')}` and up again, which chooses another port",
            )
        log = place.log(server.name)
        process = launch(how.command, log, how.environment, place.data(server.name))
        process.write(self._record(server.name))
        return process

    def _let_go(self, server: Server, place: Place) -> None:
        """Waits a little until a predecessor that was killed holds nothing any more."""
        before, until = read_process(self._record(server.name)), time.monotonic() + _LINGERING
        while before is not None and time.monotonic() < until:
            if before.reaped() and all(is_free(place.ports[port]) for port in server.ports):
                return
            time.sleep(_PAUSE)

    def _await(self, server: Server, place: Place, process: Process, stop: threading.Event) -> None:
        until = time.monotonic() + server.patience
        while True:
            alive = process.alive()
            try:
                if alive:
                    _ask(server, place)
                    return
                why = "it ended"
            except (NotReady, OSError, ValueError, KeyError) as error:
                why = str(error)
            if stop.is_set():
                raise StackError(
                    server.name, "it was not waited for, since another server failed", self.command("up")
                )
            if not alive or time.monotonic() > until:
                raise StackError(
                    server.name,
                    f"{why if not alive else f'not ready after {server.patience:.0f} s: {why}'}. "
                    f"The end of its log:\n{_tail(place.log(server.name))}",
                    self.command("doctor"),
                )
            time.sleep(_PAUSE)

    def _wait(self, process: Process) -> bool:
        process.signal(signal.SIGCONT)
        if process.wait(_GRACE):
            return True
        process.kill()
        return False

    def _choose_place(self) -> Place:
        """Ports that a server of ours holds stay; while any runs, so do the others, which it knows."""
        kept = read_ports(self.profile)
        running = any(self._running(server) for server in SERVERS.values())
        return Place(self.home, self.cache, choose_ports(PORTS, kept, PORTS if running else ()), self.jdks)

    def _running(self, server: Server) -> Process | None:
        process = read_process(self._record(server.name))
        return process if process is not None and process.alive() else None

    def _record(self, name: str) -> Path:
        """Where the running process is written down."""
        return self.home / "run" / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        (self.home / "run").mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _ask(server: Server, place: Place) -> None:
    for port in server.ports:
        if not listens(place.ports[port]):
            raise NotReady(f"nothing listens on {port}, {place.address(port)}")
    server.ask(place)


def _tail(log: Path, lines: int = 12) -> str:
    if not log.is_file():
        return "(empty)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
