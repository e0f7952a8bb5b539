"""What takes the pipeline somewhere: a runner. Both leave a record of each step, and a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.declare.declaration import Declaration
from headrace.models.registry import Registry, Version
from headrace.training.graph import page, placed
from headrace.training.parameters import Parameter
from headrace.training.record import RECORD, Record, StepRecord
from headrace.training.runs import REPORT, Runs
from headrace.training.steps import HOLDOUT

PAGE = "run.html"


class Archive(Protocol):
    @property
    def uri(self) -> str: ...


class Places(Protocol):
    """Where a deployment keeps what training reads and writes (a profile of headrace.profiles)."""

    @property
    def home(self) -> Path: ...
    def open_archive(self, declaration: Declaration) -> Any: ...
    def open_registry(self, declaration: Declaration) -> Any: ...


@dataclass(frozen=True)
class TrainingResult:
    """A registered model. alias: champion or challenger. metrics: the report of `steps.evaluate`.

    folder: of the run, with its record, its logs and, where it ran here, its dataset and its models.
    """

    version: int
    alias: str
    sha256: str
    metrics: Mapping[str, Any]
    folder: Path

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.folder / REPORT

    def held_out(self) -> pa.Table:
        """The mature examples that the model was evaluated on: `t`, request, features, `label`, `naive`."""
        (file,) = self.folder.glob(f"**/{HOLDOUT}")
        return pq.read_table(file)


class Runner(Protocol):
    """Trains, evaluates and registers a model on what had arrived before `until` (ms).

    parameters: model parameters that override the declared defaults; texts are read as the default's kind.
    progress: gets a line for each step. Raises TrainingError with the message of the step that failed.
    """

    def __call__(
        self,
        declaration: Declaration,
        places: Places,
        until: int,
        parameters: Mapping[str, Parameter],
        progress: Callable[[str], None],
    ) -> TrainingResult: ...


class Journal:
    """A run that is being written down: a folder, and the record in it after each change."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def begin(
        cls,
        declaration: Declaration,
        places: Places,
        registry: Registry,
        runner: str,
        parameters: Mapping[str, Parameter],
        settings: Mapping[str, Any],
    ) -> Journal:
        """A new folder, for which old ones go."""
        champion: Version | None = registry.champion()
        runs = Runs(places.home / "training", declaration.name)
        runs.prune(None if champion is None else champion.number)
        record = Record(declaration.name, runner, "running", now(), None, {**settings, **parameters})
        return cls(runs.begin(), record)

    def step(self, step: StepRecord) -> None:
        self.write(self.record.with_step(step))

    def write(self, record: Record) -> None:
        self.record = record
        record.write(self.folder)

    def fail(self, declaration: Declaration, registry: Registry) -> None:
        """Ends the run, with the step that was running when it broke off."""
        ended = now()
        steps = tuple(
            replace(step, status="failed", ended=ended, error=step.error or "it broke off")
            if step.status == "running"
            else step
            for step in self.record.steps
        )
        self.write(replace(self.record, status="failed", ended=ended, steps=steps))
        self._show()
        chosen = {name: self.record.parameters[name] for name in declaration.model.parameters}
        tags = {name: str(value) for name, value in self.record.parameters.items() if name not in chosen}
        run = registry.record_failed(chosen, {**tags, "declaration": declaration.digest}, self._files)
        self.write(replace(self.record, run=run))

    def succeed(
        self, registry: Registry, version: int, alias: str, run: str, metrics: Mapping[str, float | None]
    ) -> None:
        """Ends the run, and puts its record beside the model."""
        self.write(
            replace(
                self.record,
                status="succeeded",
                ended=now(),
                run=run,
                version=version,
                alias=alias,
                metrics=dict(metrics),
            )
        )
        Runs(self.folder.parent, self.record.project).note(self.folder, version)
        self._show()
        registry.attach(run, self._files)

    @property
    def _files(self) -> list[Path]:
        files = [self.folder / RECORD, self.folder / PAGE, self.folder / REPORT]
        return [file for file in files if file.is_file()]

    def _show(self) -> None:
        (self.folder / PAGE).write_text(page(self.record), encoding="utf-8")
        report = self.folder / REPORT
        if report.is_file():
            report.write_text(placed(report.read_text(encoding="utf-8"), self.record), encoding="utf-8")


def settings_of(declaration: Declaration, archive: Archive, registry: Registry, until: int) -> dict[str, Any]:
    """What every run of the pipeline is given."""
    return {
        "project": str(declaration.path),
        "archive": archive.uri,
        "registry": registry.tracking_uri,
        "until": until,
        "holdout": declaration.retrain.holdout,
    }


def now() -> int:
    """The processing clock in ms, for records alone."""
    return time.time_ns() // 1_000_000
