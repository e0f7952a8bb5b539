"""A signal at any instant of a waiting loop ends it. (Setting the event in the handler hung 19 of 32 of these.)"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

PROGRAM = """
import threading
from headrace.roles.signals import set_on_signals
stop = threading.Event()
set_on_signals(stop)
print("up", flush=True)
while not stop.is_set():
    stop.wait(0)
"""


def test_a_signal_never_waits_for_the_loop_that_it_ends() -> None:
    for _ in range(2):
        processes = [
            subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            with process.stdout as told:
                assert told.readline() == "up\n"
        for process in processes:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.001)
        assert [process.wait(20) for process in processes] == [0] * 4
