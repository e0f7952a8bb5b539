"""What a step tells while the pipeline runs: one line of JSON on its standard output, wherever it runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, ParamSpec

from headrace.errors import HeadraceError

P = ParamSpec("P")

_MARK: Final = "headrace-step "


@dataclass(frozen=True, slots=True)
class Told:
    """A step's end. error: (subject, cause, remedy) when it failed. facts: what it gave when it did not."""

    step: str
    seconds: float
    facts: dict[str, Any]
    error: tuple[str, str, str] | None = None


def reported(step: str, function: Callable[P, dict[str, Any]], *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
    """Calls a step and tells its facts, or its failure, which it raises again."""
    begun = time.perf_counter()
    facts: dict[str, Any] = {}
    try:
        facts = function(*args, **kwargs)
        return facts
    finally:
        _tell(Told(step, time.perf_counter() - begun, facts, _why(step, sys.exception())))


def _why(step: str, error: BaseException | None) -> tuple[str, str, str] | None:
    if error is None:
        return None
    if isinstance(error, HeadraceError):
        return error.subject, error.cause, error.remedy
    return f"step {step}", f"{type(error).__name__}: {error}", "see its traceback in the log"


def _tell(told: Told) -> None:
    print(_MARK + json.dumps(asdict(told)), flush=True)


def heard(line: str) -> Told | None:
    """What a line of a pipeline's output tells; None for any other line.

    >>> heard('    headrace-step {"step": "train", "seconds": 1.5, "facts": {}, "error": null}').step
    'train'
    >>> heard("Streamed logs:") is None
    True
    """
    _, mark, text = line.partition(_MARK)
    if not mark:
        return None
    found = json.loads(text)
    return Told(found["step"], found["seconds"], found["facts"], found["error"] and tuple(found["error"]))
