"""Starting several servers at once, each when what it needs is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from headrace.errors import StackError
from headrace.stack.place import Place
from headrace.stack.ports import is_free, listens
from headrace.stack.process import Process, launch
from headrace.stack.records import Records
from headrace.stack.server import NotReady, Server

_PAUSE: Final = 0.25
"""Seconds between two questions."""
_LINGERING: Final = 5.0
"""Seconds for which a killed server's children may hold its port, and its pid may stay taken."""

Say = Callable[[str, str], None]
"""Told a server's name and what happened to it."""
Command = Callable[[str], str]
"""From `up kafka` to what to type for this home."""


class Starting:
    """One `up`."""

    def __init__(self, place: Place, records: Records, say: Say, command: Command) -> None:
        self._place = place
        self._records = records
        self._say = say
        self._command = command
        self._over = threading.Event()

    def run(self, servers: Sequence[Server]) -> None:
        """Returns when all are ready. Raises the first failure, and waits for no other server then."""
        ready: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(len(servers)) as pool:
            for server in sorted(servers, key=lambda server: len(server.after)):
                needs = [ready[name] for name in server.after]
                ready[server.name] = pool.submit(self._bring_up, server, needs)
            try:
                done, _ = wait(ready.values(), return_when=FIRST_EXCEPTION)
            finally:
                self._over.set()
        for future in done:
            future.result()

    def _bring_up(self, server: Server, needs: Sequence[Future[None]]) -> None:
        for need in needs:
            need.result()
        process = self._records.running(server.name)
        if process is not None:
            self._await(server, process)
            self._say(server.name, "runs already")
            return
        begun = time.monotonic()
        self._say(server.name, "starts")
        self._await(server, self._launch(server))
        self._say(server.name, f"ready in {time.monotonic() - begun:.1f} s")

    def _launch(self, server: Server) -> Process:
        how = server.launch(self._place)
        self._let_go(server)
        taken = [port for port in server.ports if not is_free(self._place.ports[port])]
        if taken:
            raise StackError(
                server.name,
                f"another process listens on its port {self._place.ports[taken[0]]}",
                f"end that process, or `{self._command('down')}` and up again, which chooses another port",
            )
        log, folder = self._place.log(server.name), self._place.data(server.name)
        process = launch(how.command, log, how.environment, folder)
        self._records.write(server.name, process)
        return process

    def _let_go(self, server: Server) -> None:
        """Waits a little until a predecessor that was killed holds nothing any more."""
        before, until = self._records.read(server.name), time.monotonic() + _LINGERING
        while before is not None and time.monotonic() < until:
            if before.reaped() and all(is_free(self._place.ports[port]) for port in server.ports):
                return
            time.sleep(_PAUSE)

    def _await(self, server: Server, process: Process) -> None:
        """Until it answers and is set up."""
        until = time.monotonic() + server.patience
        while True:
            alive = process.alive()
            why = self._problem(server) if alive else "it ended"
            if why is None:
                return
            if not alive or time.monotonic() > until:
                raise StackError(
                    server.name,
                    f"{why if not alive else f'not ready after {server.patience:g} s: {why}'}. "
                    f"The end of its log:\n{_tail(self._place.log(server.name))}",
                    self._command("doctor"),
                )
            if self._over.wait(_PAUSE):
                raise StackError(server.name, "another server failed before it was ready", self._command("up"))

    def _problem(self, server: Server) -> str | None:
        why = problem_of(server, self._place)
        if why is not None:
            return why
        try:
            server.settle(self._place)
        except NotReady as error:
            return str(error)
        return None


def problem_of(server: Server, place: Place) -> str | None:
    """Why a server that runs cannot be used; None when every port and a real question are answered."""
    for port in server.ports:
        if not listens(place.ports[port]):
            return f"nothing listens on {port}, {place.address(port)}"
    try:
        server.ask(place)
    except (NotReady, OSError, ValueError, KeyError) as error:  # also what another program would answer there
        return str(error)
    return None


def _tail(log: Path, lines: int = 12) -> str:
    if not log.is_file():
        return "(empty)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
