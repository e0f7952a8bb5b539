"""A program for the kill test: for each line that it reads from its input, a child that replays.

The child is killed at the moment that the line names. Moments lie before and after each transaction of the replayer
and each request. When the child has ended, the parent prints its exit code and goes on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from headrace.declare.load import read_project
from headrace.profiles import Profile
from headrace.replay import replayer
from headrace.replay.askers import Asking, asker
from headrace.replay.feed import Feed
from headrace.replay.patience import Patience
from headrace.replay.steps import steps

BEGIN = 17_500 * 86_400_000


class Moments:
    """Counts the moments, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def pass_one(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, server: str, step: int, end: int, moment: int) -> None:
    moments = Moments(moment)
    post, transact = httpx.Client.post, replayer.transaction_in_turn

    def posting(client: httpx.Client, *arguments: Any, **options: Any) -> httpx.Response:
        moments.pass_one()
        answer = post(client, *arguments, **options)
        moments.pass_one()
        return answer

    @contextmanager
    def transacting(*arguments: Any) -> Iterator[Any]:
        with transact(*arguments) as transaction:
            yield transaction
            moments.pass_one()
        moments.pass_one()

    httpx.Client.post = posting  # type: ignore[method-assign]
    replayer.transaction_in_turn = transacting  # type: ignore[attr-defined]
    declaration = read_project(folder)
    profile = Profile("local", folder / "home", server=server, partitions=2, clock="marks")
    log, patience = profile.open_log(), Patience(15)
    feeds = {"click": Feed.read(declaration.streams["click"], [folder / "click.parquet"])}
    asking = Asking(server, list(declaration.request), lambda: "1", patience)
    asks = asker(declaration, log, profile.open_archive(declaration), feeds, asking, patience)
    made = replayer.Replayer(declaration, log, profile.open_schemas(), feeds, asks, 2, patience)
    made.run(steps(declaration, BEGIN, end, step))


def main() -> None:
    for line in sys.stdin:
        folder, server, step, end, moment = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            run(Path(folder), server, int(step), int(end), int(moment))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
