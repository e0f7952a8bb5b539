"""Runs the training pipeline on this machine with kfp.local, each step a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.declare.declaration import Declaration
from headrace.errors import TrainingError
from headrace.training.parameters import Parameter, parameters_of
from headrace.training.progress import Told, begun, heard
from headrace.training.runner import Journal, Places, TrainingResult, now, settings_of


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
    told = _listen(journal, {"parameters": chosen, "settings": settings, "root": str(journal.folder)}, progress)
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
    """Runs the pipeline; what each step told. TrainingError, with the record complete, where one failed."""
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
    failed = [found.error for found in told.values() if found.error is not None]
    if failed or process.returncode or "register" not in told:
        journal.fail()
    if failed:
        subject, cause, remedy = failed[0]
        raise TrainingError(subject, cause, remedy.replace("the log", str(log)))
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

    A step's log begins with what was written since the step before ended: how it was started.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[str] = []
        self._file: Any = None
        self._last: Path | None = None

    def take(self, line: str) -> Told | None:
        name, told = begun(line), heard(line)
        if name is not None:
            self._open(name)
        elif told is not None:
            self._journal.step(self._journal.record.step(told.step).ending(told))
            self._shut()
        elif self._file is None:
            self._waiting.append(line)
        else:
            self._file.write(line)
        return told

    def close(self) -> None:
        """The rest, such as the traceback of the step that failed, belongs to the last one."""
        self._shut()
        if self._last is not None:
            with self._last.open("a", encoding="utf-8") as file:
                file.writelines(self._waiting)

    def _open(self, name: str) -> None:
        self._shut()
        self._last = self._journal.folder / f"{name}.log"
        self._file = self._last.open("w", encoding="utf-8")
        self._file.writelines(self._waiting)
        self._waiting.clear()
        step = self._journal.record.step(name)
        self._journal.step(replace(step, status="running", began=now(), log=self._last.name))

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
