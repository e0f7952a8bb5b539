"""What a step tells while the pipeline runs: lines of JSON on its standard output, wherever it runs.

One when it begins, so that a step that is killed is known to have run, and one when it ends.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.errors import HeadraceError

_BEGUN: Final = "headrace-begun "
_ENDED: Final = "headrace-step "


class Artifact(Protocol):
    """What Kubeflow hands from step to step."""

    uri: str
    metadata: dict[str, Any]

    @property
    def path(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Told:
    """A step's end. error: (subject, cause, remedy) when it failed. facts: what it gave when it did not.

    began, ended: ms. cpu: seconds of its process, user and system. memory: the most that its process held, bytes.
    inputs, outputs: by name, `type`, `uri`, `bytes` and `metadata` of each artifact.
    """

    step: str
    seconds: float
    facts: dict[str, Any]
    error: tuple[str, str, str] | None = None
    began: int = 0
    ended: int = 0
    cpu: float | None = None
    memory: int | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


class Telling:
    """A step that runs: called with its facts, once it has them, which it gives back."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def __call__(self, facts: dict[str, Any]) -> dict[str, Any]:
        self.facts = facts
        return facts


@contextmanager
def step(
    name: str, inputs: Mapping[str, Artifact] | None = None, outputs: Mapping[str, Artifact] | None = None
) -> Iterator[Telling]:
    """Tells that a step begins, and how it ended; its failure is raised again."""
    began, clock = time.time_ns() // 1_000_000, time.perf_counter()
    print(_BEGUN + json.dumps({"step": name, "began": began}), flush=True)
    telling = Telling()
    try:
        yield telling
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        told = Told(
            name,
            time.perf_counter() - clock,
            telling.facts,
            _why(name, sys.exception()),
            began,
            time.time_ns() // 1_000_000,
            used.ru_utime + used.ru_stime,
            _peak(used.ru_maxrss),
            {key: _shown(artifact) for key, artifact in (inputs or {}).items()},
            {key: _shown(artifact) for key, artifact in (outputs or {}).items()},
        )
        print(_ENDED + json.dumps(asdict(told)), flush=True)


def begun(line: str) -> str | None:
    """The step that a line of a pipeline's output tells the beginning of; None for any other line.

    >>> begun('    headrace-begun {"step": "train", "began": 5}')
    'train'
    """
    _, mark, text = line.partition(_BEGUN)
    return str(json.loads(text)["step"]) if mark else None


def heard(line: str) -> Told | None:
    """What a line of a pipeline's output tells of a step's end; None for any other line.

    >>> heard('    headrace-step {"step": "train", "seconds": 1.5, "facts": {}, "error": null}').step
    'train'
    >>> heard("Streamed logs:") is None
    True
    """
    _, mark, text = line.partition(_ENDED)
    if not mark:
        return None
    found = json.loads(text)
    return Told(**{**found, "error": found["error"] and tuple(found["error"])})


def _why(step: str, error: BaseException | None) -> tuple[str, str, str] | None:
    if error is None:
        return None
    if isinstance(error, HeadraceError):
        return error.subject, error.cause, error.remedy
    return f"step {step}", f"{type(error).__name__}: {error}", "see its traceback in the log"


def _shown(artifact: Artifact) -> dict[str, Any]:
    place = Path(artifact.path)
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return {
        "type": str(getattr(artifact, "schema_title", "")),
        "uri": artifact.uri,
        "bytes": sum(file.stat().st_size for file in files),
        "metadata": dict(artifact.metadata),
    }


def _peak(counted: int) -> int:
    """Bytes. What getrusage counts is kept over exec, so that of a small process it is its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return counted * (1 if sys.platform == "darwin" else 1024)
