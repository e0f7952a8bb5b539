"""Signals that end a process in order."""

from __future__ import annotations

import _thread
import signal
import threading


def set_on_signals(stop: threading.Event) -> None:
    """Ctrl-C and TERM set an event.

    The handler runs in the main thread, which may hold the event's own lock at that instant: setting it there could
    wait for itself for ever. So another thread sets it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _thread.start_new_thread(stop.set, ()) and None)
