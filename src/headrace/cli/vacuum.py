"""`headrace vacuum PROJECT`: frees what the archive no longer needs."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.training.reproduce import pins


def vacuum(
    project: ProjectPath,
    hours: Annotated[int, typer.Option(min=24, help="Keep files that were in use within so many hours.")] = 168,
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Delete the archive's files that neither its newest state nor any registered model needs."""
    declaration, chosen = open_project(project, profile, home)
    pinned = pins(chosen.open_registry(declaration))
    archive = chosen.open_archive(declaration)
    count = archive.vacuum(pinned, hours)
    versions = sum(len(kept) for kept in pinned.values())
    if as_json:
        print(json.dumps({"files": count, "pinned": versions, "topics": len(archive.topics())}))
    else:
        Console().print(f"{count:,} files deleted; {versions} versions are kept for registered models")
