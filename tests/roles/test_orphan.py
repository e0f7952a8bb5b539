"""A role ends with its supervisor, whatever that ends by; one that was started by hand lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.log.sqlite import SqliteLog

PROJECT = Path(__file__).parent.parent / "projects" / "fraud.py"

SUPERVISOR = """
import sys
from pathlib import Path
from headrace.roles.signals import set_on_signals
from headrace.roles.supervisor import Supervisor
project, home = sys.argv[1:]
supervisor = Supervisor(Path(project), ["--home", home], lambda role, line: None, roles=("tile",))
set_on_signals(supervisor.stop)
supervisor.run()
"""

ROLE = """
import os, sys, threading, time
from headrace.roles import orphan
orphan._LOOK = 0.01
fifo, shell = sys.argv[1:]
stop = threading.Event()
with open(fifo, "w") as told:
    print("up", file=told, flush=True)
    orphan.end_with_supervisor(stop)
    while os.getppid() == int(shell):
        time.sleep(0.01)
    print("stopped" if stop.wait({patience}) else "alive", file=told, flush=True)
"""

SHELL = """
import os, subprocess, sys
role, fifo, supervised = sys.argv[1:]
env = {**os.environ, **({"HEADRACE_SUPERVISOR": str(os.getpid())} if supervised == "yes" else {})}
subprocess.Popen([sys.executable, "-c", role, fifo, str(os.getpid())], env=env, start_new_session=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_supervised_role_gives_its_place_back(tmp_path: Path, number: signal.Signals) -> None:
    lock = tmp_path / "log" / "tile.lock"
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(PROJECT), str(tmp_path)]) as supervisor:
        while not (lock.exists() and lock.read_text()):
            assert supervisor.poll() is None
            time.sleep(0.05)
        supervisor.send_signal(number)
    log = SqliteLog(lock.parent)
    with log.turn("tile", patience=30):
        pass
    log.close()


@pytest.mark.parametrize(("supervised", "patience", "wanted"), [("yes", 30.0, "stopped"), ("no", 0.5, "alive")])
def test_who_follows_the_one_that_started_it(tmp_path: Path, supervised: str, patience: float, wanted: str) -> None:
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    role = ROLE.replace("{patience}", str(patience))
    arguments = [sys.executable, "-c", SHELL, role, str(fifo), supervised]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as shell, fifo.open() as told:
        assert told.readline() == "up\n"
        shell.kill()
        assert told.readline() == f"{wanted}\n"


HANGUP = """
import os, signal, threading
from headrace.roles.signals import set_on_signals
stop = threading.Event()
set_on_signals(stop)
os.kill(os.getpid(), signal.SIGHUP)
print("stopped" if stop.wait({patience}) else "alive")
"""


@pytest.mark.parametrize(("ignored", "patience", "wanted"), [(False, 30.0, "stopped"), (True, 0.2, "alive")])
def test_a_hangup_ends_in_order_unless_it_is_ignored(ignored: bool, patience: float, wanted: str) -> None:
    nohup = ["nohup"] if ignored else []
    script = HANGUP.replace("{patience}", str(patience))
    found = subprocess.run(
        [*nohup, sys.executable, "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (found.returncode, found.stdout) == (0, f"{wanted}\n")
