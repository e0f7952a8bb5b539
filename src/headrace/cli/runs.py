"""`headrace runs PROJECT`: the training runs, newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.declare.instant import minute_text


def runs(project: ProjectPath, profile: ProfileName = "local", home: Home = None, as_json: Json = False) -> None:
    """List the training runs: those in the registry, and those on this machine that failed before it."""
    from headrace.training.listing import listing

    declaration, chosen = open_project(project, profile, home)
    found = listing(chosen.home / "training", declaration.name, chosen.open_registry(declaration))
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2))
        return
    table = Table("began", "run", "status", "version", "took", "metrics", "record", box=None, padding=(0, 2))
    for one in found:
        took = "" if one.seconds is None else f"{one.seconds:.1f} s"
        version = "" if one.version is None else str(one.version)
        folder = "" if one.folder is None else str(one.folder)
        why = one.error or _metrics(one.metrics)
        table.add_row(minute_text(one.began), one.run or "", one.status, version, took, Text(why), Text(folder))
    Console().print(table if found else "no run yet: `headrace train` makes one")


def _metrics(metrics: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" for name, value in metrics.items() if not name.startswith(("naive_", "champion_"))
    )
