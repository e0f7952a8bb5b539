"""Signals that end a process in order."""

from __future__ import annotations

import _thread
import signal
import threading


def set_on_signals(stop: threading.Event) -> None:
    """Ctrl-C, TERM and the terminal's end (HUP, unless `nohup` has it ignored) set an event.

    The handler runs in the main thread, which may hold the event's own lock at that instant: setting it there could
    wait for itself for ever. So another thread sets it.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, lambda *_: _thread.start_new_thread(stop.set, ()) and None)
