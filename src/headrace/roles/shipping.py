"""Ships the server's prediction log from a process of its own: requests share no interpreter with it.

The server starts it, and starts it again where it ends. It runs at a lower priority: what is on disk may wait, a
caller may not. It tells how it is in lines of JSON on its standard output, and ends when its standard input does,
after it has shipped what is there: so it also leaves when the server was killed, and makes room for the next one's.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.errors import HeadraceError
from headrace.profiles import Profile, read_profile
from headrace.roles.context import Context
from headrace.serving.sender import Sender, append_time

_NICE: Final = 5
_TELL: Final = 0.25
"""Seconds between two lines."""
_BACKOFF: Final = 1.0
_LOG: Final = logging.getLogger("headrace.serve")


def folder_of(profile: Profile) -> Path:
    """Where the server logs its predictions."""
    return profile.home / "predictions"


def opened(context: Context, arrival: Callable[[int], int | None] = append_time) -> Sender:
    """The sender of what the server logs. arrival: see Sender."""
    return Sender(
        context.declaration,
        context.log,
        context.schemas,
        folder_of(context.profile),
        partitions=context.profile.partitions,
        now=lambda: context.clock.now() or 0,
        arrival=arrival,
    )


class Shipping:
    """The other process, as the server sees it."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        self._command = [
            sys.executable, "-m", "headrace.roles.shipping", str(declaration.path), profile.name, str(profile.home),
        ]  # fmt: skip
        self._corrupt: str | None = None
        self._unshipped = 0
        self.problem: str | None = "it has not begun to ship predictions yet"
        """Why predictions wait on disk."""

    def corrupt(self) -> str | None:
        """What was set aside because it holds bytes that are no predictions."""
        return self._corrupt

    def unshipped(self) -> int:
        """Bytes that wait for the slowest destination."""
        return self._unshipped

    def run(self, stop: threading.Event) -> None:
        """Keeps it running until told to stop, and returns when all is shipped."""
        while True:
            with subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as process:
                self._follow(process, stop)
            if stop.is_set():
                return
            self.problem = (
                f"the process that ships predictions ended with {process.returncode}: it is started again"
            )
            _LOG.error("%s", self.problem)
            if stop.wait(_BACKOFF):
                return

    def _follow(self, process: subprocess.Popen[str], stop: threading.Event) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            self.problem, self._corrupt, self._unshipped = told["problem"], told["corrupt"], told["unshipped"]
            if stop.is_set() and not process.stdin.closed:
                process.stdin.close()


class _Teller:
    """Tells the server how the sender is."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self.sender: Sender | None = None
        self.problem: str | None = None

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(_TELL):
            sender = self.sender
            told = {
                "problem": self.problem if sender is None else sender.problem,
                "corrupt": None if sender is None else sender.corrupt(),
                "unshipped": 0 if sender is None else sender.unshipped(),
            }
            try:
                print(json.dumps(told), file=self._out, flush=True)
            except BrokenPipeError:  # the server is gone; its end of the standard input says so too
                return


def main(arguments: Sequence[str]) -> None:
    """project file, profile, home."""
    path, name, home = arguments
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the server says when
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    stop, ended = threading.Event(), threading.Event()
    threading.Thread(target=_follow_server, args=(stop,), daemon=True).start()
    teller = _Teller(sys.stdout)
    telling = threading.Thread(target=teller.run, args=(ended,))
    telling.start()
    try:
        declaration = read_project(Path(path))
        context = Context.of("serve", declaration, read_profile(declaration, name, Path(home)))
        while teller.sender is None:
            try:
                teller.sender = opened(context)
            except HeadraceError as error:  # the log is away, or a killed server's process is about to leave
                teller.problem = str(error)
                if stop.wait(_BACKOFF):
                    return
        teller.sender.run(stop)
        teller.sender.close()
        context.log.close()
    finally:
        ended.set()
        telling.join()


def _follow_server(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    stop.set()


if __name__ == "__main__":
    main(sys.argv[1:])
