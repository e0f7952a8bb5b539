"""The lifeline of a process: its standard input, which ends when its parent is gone, however that ended."""

from __future__ import annotations

import os
import signal
import threading


def hold() -> None:
    """Ends this process and its group as soon as standard input ends.

    The process must lead its group (`start_new_session=True`). What it starts gets an empty standard input.
    """
    line = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_wait, args=(line,), name="lifeline", daemon=True).start()


def _wait(line: int) -> None:
    while os.read(line, 1):
        pass
    os.killpg(0, signal.SIGKILL)
