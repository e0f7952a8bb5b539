"""Runs the training pipeline on this machine with kfp.local, each step a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from headrace.declare.declaration import Declaration
from headrace.errors import TrainingError
from headrace.training.parameters import Parameter, parameters_of
from headrace.training.progress import Told, begun, heard
from headrace.training.runner import Journal, Places, TrainingResult, now, settings_of
from headrace.training.runs import REPORT

_LINE: Final = "-" * 40


def run(
    declaration: Declaration,
    places: Places,
    until: int,
    parameters: Mapping[str, Parameter],
    progress: Callable[[str], None],
) -> TrainingResult:
    """The local runner: see `headrace.training.runner.Runner`."""
    archive, registry = places.open_archive(declaration), places.open_registry(declaration)
    chosen = parameters_of(declaration.model, parameters)
    settings = settings_of(declaration, archive, registry, until)
    journal = Journal.begin(declaration, places, registry, "local", chosen, settings)
    try:
        told = _listen(journal, {"parameters": chosen, "settings": settings, "root": str(journal.folder)}, progress)
    except BaseException:  # also where it is interrupted
        journal.fail(declaration, registry)
        raise
    registered, report = told["register"].facts, told["evaluate"].facts["report"]
    journal.succeed(registry, registered["version"], registered["alias"], registered["run"], report["model"])
    return TrainingResult(
        version=registered["version"],
        alias=registered["alias"],
        sha256=registered["sha256"],
        metrics=report,
        folder=journal.folder,
    )


def _listen(journal: Journal, request: Mapping[str, Any], progress: Callable[[str], None]) -> dict[str, Told]:
    """Runs the pipeline; what each step told. TrainingError where one failed."""
    told: dict[str, Told] = {}
    log = journal.folder / "run.log"
    with _orchestrating(request) as process, log.open("w", encoding="utf-8") as whole:
        output = _Output(journal)
        assert process.stdout is not None
        for line in process.stdout:
            whole.write(line)
            found = output.take(line)
            if found is not None:
                told[found.step] = found
                if found.error is None:
                    progress(f"{found.step} ({found.seconds:.1f} s): {found.facts['summary']}")
        output.close()
    page = log.with_name(REPORT)
    if "evaluate" in told and told["evaluate"].error is None:
        shutil.copyfile(told["evaluate"].facts["page"], page)
    failed = [found.error for found in told.values() if found.error is not None]
    if failed:
        subject, cause, remedy = failed[0]
        raise TrainingError(
            subject, cause, remedy.replace("the log", str(log)).replace("the report", f"the report {page}")
        )
    if process.returncode or "register" not in told:
        raise TrainingError("training pipeline", f"it ended with code {process.returncode}", f"see {log}")
    return told


@contextmanager
def _orchestrating(request: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    # kfp.local runs steps with the first python on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "headrace.training.orchestrate", json.dumps(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.PIPE,  # its lifeline: nothing is ever written to it
        start_new_session=True,  # so that it can end its steps with itself
        text=True,
        encoding="utf-8",
        errors="replace",
        # Threads that wait do not spin: the machine also runs everything else.
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PATH": path},
    ) as process:
        yield process


class _Output:
    """What the pipeline writes: told to the journal, and to a log of each step.

    kfp draws a line between two steps. What stands after it, before a step begins, is how that one was started.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[str] = []
        self._file: Any = None

    def take(self, line: str) -> Told | None:
        name, told = begun(line), heard(line)
        if name is not None:
            self._open(name)
        elif told is not None:
            self._journal.step(self._journal.record.step(told.step).ending(told))
        elif line.startswith(_LINE):
            self.close()
        elif self._file is None:
            self._waiting.append(line)
        else:
            self._file.write(line)
        return told

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, name: str) -> None:
        self.close()
        log = self._journal.folder / f"{name}.log"
        self._file = log.open("w", encoding="utf-8")
        self._file.writelines(self._waiting)
        self._waiting.clear()
        step = self._journal.record.step(name)
        self._journal.step(replace(step, status="running", began=now(), log=log.name))
