"""What the registry is told of a run: parameters, metrics, gates, versions of data, code and Python."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.models.artifact import Spec
from headrace.models.registry import JOB, Registry
from headrace.training.runs import REPORT
from headrace.training.splits import date


def record_of(
    models: Registry,
    spec: Spec,
    sha256: str,
    judged: Mapping[str, Any],
    commit: str | None,
    drawn: Mapping[str, Any],
    page: str | None,
) -> tuple[dict[str, str], str]:
    """Records a run; the tags of its model, and its id.

    judged: the report of `evaluate`. drawn: `archive`, `until`, `holdout` and `job`, as far as they are known.
    """
    tags = {
        "declaration": spec.declaration,
        "data": json.dumps(spec.data, sort_keys=True),
        "library": spec.library,
        "python": platform.python_version(),
        "trained_until": date(spec.trained.last),
        **{name: str(value) for name, value in drawn.items() if name != JOB},
    }
    if commit is not None:
        tags["commit"] = commit
    if drawn.get(JOB):
        tags[JOB] = str(drawn[JOB])
    gates = judged.get("findings")
    with tempfile.TemporaryDirectory() as work:
        files = []
        if gates is not None:
            files.append(Path(work) / "gates.json")
            files[-1].write_text(json.dumps(gates, indent=1) + "\n", encoding="utf-8")
        if page is not None:
            files.append(Path(shutil.copyfile(page, Path(work) / REPORT)))
        run = models.record(
            {**spec.parameters, "seed": spec.seed}, measured(judged), {**tags, "sha256": sha256}, files
        )
    return tags, run


def measured(judged: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of the model, and of whom it was compared with, by name.

    >>> measured({"model": {"mae": 1.0}, "naive": {"mae": None}, "champion": {"metrics": {"mae": 2.0}}})
    {'mae': 1.0, 'champion_mae': 2.0}
    """
    champion = judged.get("champion") or {}
    found = {"": judged["model"], "naive_": judged["naive"], "champion_": champion.get("metrics") or {}}
    return {f"{who}{name}": value for who, of in found.items() for name, value in of.items() if value is not None}
