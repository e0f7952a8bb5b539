"""Runs the training pipeline on this machine with kfp.local, each step a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.declare.declaration import Declaration
from headrace.errors import TrainingError
from headrace.models.registry import Version
from headrace.training.parameters import Parameter, parameters_of
from headrace.training.progress import Told, heard
from headrace.training.runs import REPORT, Runs
from headrace.training.steps import HOLDOUT


class _Archive(Protocol):
    @property
    def uri(self) -> str: ...


class _Registry(Protocol):
    @property
    def tracking_uri(self) -> str: ...
    def champion(self) -> Version | None: ...


class Places(Protocol):
    """Where a deployment keeps what training reads and writes (a profile of headrace.profiles)."""

    @property
    def home(self) -> Path: ...
    def open_archive(self, declaration: Declaration) -> Any: ...
    def open_registry(self, declaration: Declaration) -> Any: ...


@dataclass(frozen=True)
class TrainingResult:
    """A registered model. alias: champion or challenger. metrics: the report of `steps.evaluate`.

    folder: of the run, with its dataset, its models, `run.log` and `report.html`.
    """

    version: int
    alias: str
    sha256: str
    metrics: Mapping[str, Any]
    folder: Path

    @property
    def report(self) -> Path:
        return self.folder / REPORT

    def held_out(self) -> pa.Table:
        """The mature examples that the model was evaluated on: `t`, request, features, `label`, `naive`."""
        (file,) = self.folder.glob(f"**/{HOLDOUT}")
        return pq.read_table(file)


def run(
    declaration: Declaration,
    places: Places,
    until: int,
    parameters: Mapping[str, Parameter],
    progress: Callable[[str], None],
) -> TrainingResult:
    """Trains, evaluates and registers a model on what had arrived before `until` (ms).

    parameters: model parameters that override the declared defaults; texts are read as the default's kind.
    progress: gets a line at the end of each step. Raises TrainingError with the message of the step that failed.
    """
    archive: _Archive = places.open_archive(declaration)
    registry: _Registry = places.open_registry(declaration)
    chosen = parameters_of(declaration.model, parameters)
    champion = registry.champion()
    runs = Runs(places.home / "training", declaration.name)
    runs.prune(None if champion is None else champion.number)
    folder = runs.begin()
    request = {
        "parameters": chosen,
        "root": str(folder),
        "settings": {
            "project": str(declaration.path),
            "archive": archive.uri,
            "registry": registry.tracking_uri,
            "until": until,
            "holdout": declaration.retrain.holdout,
        },
    }
    told = _listen(request, folder / "run.log", progress)
    registered = told["register"].facts
    runs.note(folder, registered["version"])
    return TrainingResult(
        version=registered["version"],
        alias=registered["alias"],
        sha256=registered["sha256"],
        metrics=told["evaluate"].facts["report"],
        folder=folder,
    )


def _listen(request: Mapping[str, Any], log: Path, progress: Callable[[str], None]) -> dict[str, Told]:
    """Runs the pipeline; what each step told."""
    # kfp.local runs steps with the first python on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    told: dict[str, Told] = {}
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
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
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            found = heard(line)
            if found is not None:
                told[found.step] = found
                if found.error is None:
                    progress(f"{found.step} ({found.seconds:.1f} s): {found.facts['summary']}")
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
