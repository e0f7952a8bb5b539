"""The record of a run: `run.json` in its folder, with what each step of the pipeline took, gave and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from headrace.errors import TrainingError
from headrace.training.progress import Told

RECORD: Final = "run.json"
STEPS: Final[Mapping[str, Sequence[str]]] = {
    "preprocess": (),
    "train": ("preprocess",),
    "evaluate": ("preprocess", "train"),
    "register": ("evaluate",),
}
"""The steps in their order, each with those whose outputs it reads."""

Status = Literal["not run", "running", "succeeded", "failed"]


@dataclass(frozen=True)
class StepRecord:
    """One step. began, ended: ms. cpu: seconds. memory: bytes, the most its process held. None: not known.

    log: the file of what it wrote, in the run's folder. error: of a failed one. summary: a line for people.
    """

    name: str
    status: Status = "not run"
    began: int | None = None
    ended: int | None = None
    cpu: float | None = None
    memory: int | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    log: str | None = None
    error: str | None = None
    summary: str = ""

    @property
    def seconds(self) -> float | None:
        return None if self.began is None or self.ended is None else (self.ended - self.began) / 1000

    def ending(self, told: Told) -> StepRecord:
        """The step after it told its end."""
        return replace(
            self,
            status="succeeded" if told.error is None else "failed",
            began=told.began,
            ended=told.ended,
            cpu=told.cpu,
            memory=told.memory,
            inputs=told.inputs,
            outputs=told.outputs,
            error=None if told.error is None else f"{told.error[0]}: {told.error[1]}",
            summary=str(told.facts.get("summary", "")),
        )


@dataclass(frozen=True)
class Record:
    """One run of a project's pipeline. began, ended: ms. runner: local or kubeflow.

    run: its id in the registry. version, alias: of the model that it registered. None: it did not come to that.
    """

    project: str
    runner: str
    status: Status
    began: int
    ended: int | None
    parameters: Mapping[str, Any]
    steps: tuple[StepRecord, ...] = tuple(StepRecord(name) for name in STEPS)
    run: str | None = None
    version: int | None = None
    alias: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        return None if self.ended is None else (self.ended - self.began) / 1000

    def with_step(self, step: StepRecord) -> Record:
        return replace(self, steps=tuple(step if old.name == step.name else old for old in self.steps))

    def step(self, name: str) -> StepRecord:
        return next(step for step in self.steps if step.name == name)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        return cls(**{**data, "steps": tuple(StepRecord(**step) for step in data["steps"])})

    def write(self, folder: Path) -> Path:
        file = folder / RECORD
        part = file.with_suffix(".part")
        part.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        part.replace(file)
        return file

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The record in a run's folder; None where there is none. TrainingError where it cannot be read."""
        file = folder / RECORD
        if not file.is_file():
            return None
        try:
            return cls.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise TrainingError(
                f"{file}", f"it is not the record of a run: {error}", "remove that folder"
            ) from error
