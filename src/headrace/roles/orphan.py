"""A role whose supervisor is gone ends by itself: nobody would restart it, and a new supervisor needs its place.

The supervisor tells its own process id in the environment. A role that was started by hand has none, and follows
nobody.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

SUPERVISOR: Final = "HEADRACE_SUPERVISOR"
GRACE: Final = 15.0
"""Seconds that a role has to end its step before it is killed."""
_LOOK: Final = 0.5


def end_with_supervisor(stop: threading.Event) -> None:
    """Sets `stop` when the supervisor is gone, also when it was gone before; kills what has not ended in time.

    Looks at the parent's id, which the operating system changes when the parent ends, whatever it ended by.
    """
    told = os.environ.pop(SUPERVISOR, None)  # what a role starts is not the supervisor's
    if told is not None:
        threading.Thread(target=_follow, args=(int(told), stop), name="supervisor", daemon=True).start()


def _follow(supervisor: int, stop: threading.Event) -> None:
    while os.getppid() == supervisor:
        if stop.wait(_LOOK):
            return
    stop.set()
    threading.Event().wait(GRACE)  # the process ends before, and this thread with it
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
