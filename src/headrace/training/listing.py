"""All runs of a project: what the registry has, joined with the records in the folders of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.models.registry import Registry
from headrace.training.record import Record
from headrace.training.runs import Runs


@dataclass(frozen=True)
class Listed:
    """began: ms. seconds: None where the run was made on another machine. folder: of its record, if kept."""

    began: int
    run: str | None
    status: str
    version: int | None
    seconds: float | None
    metrics: Mapping[str, float | None]
    error: str | None = None
    folder: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": None if self.folder is None else str(self.folder)}


def listing(home: Path, project: str, registry: Registry) -> list[Listed]:
    """Newest first. home: where the folders of runs lie."""
    here = list(Runs(home, project).records())
    kept = {record.run: (folder, record) for folder, record in here if record.run is not None}
    versions = {version.run_id: version.number for version in registry.versions()}
    found = [_local(folder, record) for folder, record in here]
    for run in registry.runs():
        if run.id not in kept:
            status = {"FINISHED": "succeeded", "FAILED": "failed"}.get(run.status, run.status.lower())
            found.append(Listed(run.began, run.id, status, versions.get(run.id), None, run.metrics))
    return sorted(found, key=lambda one: one.began, reverse=True)


def _local(folder: Path, record: Record) -> Listed:
    error = next((step.error for step in record.steps if step.error), None)
    metrics = {name: value for name, value in record.metrics.items() if value is not None}
    return Listed(record.began, record.run, record.status, record.version, record.seconds, metrics, error, folder)
