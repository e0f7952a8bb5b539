"""A training's processes end with the process that asked for it, also when that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import sys
from pathlib import Path
from headrace.declare.load import read_project
from headrace.profiles import Profile
from headrace.training.local import run
run(read_project(Path(sys.argv[1])), Profile("local", Path(sys.argv[2])), int(sys.argv[3]), {}, print)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to notice its end does not."""
    state = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        return state.exists() and state.read_text().rpartition(") ")[2][0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(true: Any) -> None:
    end = time.monotonic() + 270
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.timeout(600)
def test_a_kill_of_the_parent_ends_a_running_step(fraud: Any, place: Path, tmp_path: Path) -> None:
    told = tmp_path / "pids"
    old = "    from xgboost import XGBClassifier\n"
    tell = f"open({str(told)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}} .')"
    new = f"    import os, time\n    {tell}\n    time.sleep(600)\n"
    source = fraud.declaration.path.read_text()
    assert old in source
    project = tmp_path / "project.py"
    project.write_text(source.replace(old, new + old))
    (place / "archive").symlink_to(fraud.home / "archive")
    command = [sys.executable, "-c", PROGRAM, str(project), str(place), str(fraud.until)]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: parent.poll() is not None or (told.exists() and told.read_text().endswith(".")))
        assert parent.poll() is None
        step, above = (int(pid) for pid in told.read_text().split()[:2])
        assert alive(step)
        assert alive(above)
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not alive(step) and not alive(above))
