from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.stack.process import Process, launch, read_process

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = launch(SLEEP, tmp_path / "log", {}, tmp_path)
    yield process
    process.kill()


def test_it_is_known_again_from_its_file(sleeper: Process, tmp_path: Path) -> None:
    sleeper.write(tmp_path / "record.json")
    found = read_process(tmp_path / "record.json")
    assert found == sleeper
    assert found.alive()
    assert found.memory() > 0
    assert read_process(tmp_path / "other.json") is None


def test_it_is_no_child_of_who_started_it(sleeper: Process) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(sleeper.pid, os.WNOHANG)


def test_a_kill_is_sure(sleeper: Process) -> None:
    sleeper.kill()
    assert not sleeper.alive()
    sleeper.kill()  # again is nothing
    sleeper.signal(signal.SIGTERM)


def test_another_process_with_its_pid_is_left_alone(sleeper: Process) -> None:
    earlier = replace(sleeper, started=sleeper.started - 1)
    before_boot = replace(sleeper, boot="another")
    for stranger in (earlier, before_boot):
        assert not stranger.alive()
        stranger.signal(signal.SIGKILL)
        stranger.kill()
    assert sleeper.alive()


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    zombie = Process(child.pid, int(fields[19]), boot, ())
    assert not zombie.alive()
    assert not zombie.reaped()
    child.wait()
    assert zombie.reaped()


def test_output_is_kept_and_stars_are_not_expanded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    process = launch([sys.executable, "-c", "import sys; print(sys.argv[1])", "/*"], log, {}, tmp_path)
    assert process.wait(10.0)
    assert log.read_text() == "before\n/*\n"


def test_a_command_that_is_not_there_has_ended(tmp_path: Path) -> None:
    process = launch([str(tmp_path / "nowhere")], tmp_path / "log", {}, tmp_path)
    assert process.wait(10.0)
    assert "nowhere" in (tmp_path / "log").read_text()
