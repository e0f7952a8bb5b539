"""Runs: the last few are kept, and that of the champion."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.training.runs import KEPT, Runs


def test_the_last_runs_and_the_champions_are_kept(tmp_path: Path) -> None:
    runs, made = Runs(tmp_path / "training", "demand"), []
    other = Runs(tmp_path / "training", "demand_2").begin()
    for version in range(1, 8):
        runs.prune(2)
        made.append(runs.begin())
        if version != 5:  # a run that failed
            runs.note(made[-1], version)
        os.utime(made[-1], (version, version))
    assert [run for run in made if run.exists()] == [made[1], *made[-KEPT:]]
    runs.prune(None)
    assert [run for run in made if run.exists()] == made[-KEPT + 1 :]
    assert other.exists()


def test_there_may_be_none(tmp_path: Path) -> None:
    Runs(tmp_path / "training", "demand").prune(None)
    assert not (tmp_path / "training").exists()
