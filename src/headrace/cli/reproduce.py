"""`headrace reproduce PROJECT RUN`: rebuilds a model and says whether it is the same."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project


def reproduce(
    project: ProjectPath,
    subject: Annotated[str, typer.Argument(metavar="RUN|VERSION", help="A run's id, or a model's version.")],
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Rebuild a run from its recorded data, parameters and declaration; exit code 0 if the model is identical."""
    from headrace.training.reproduce import reproduce as rebuild

    declaration, chosen = open_project(project, profile, home)
    console = Console(stderr=as_json)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    registry, archive = chosen.open_registry(declaration), chosen.open_archive(declaration)
    found = rebuild(declaration, registry, archive, subject, say)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    elif found.identical:
        say(f"identical: version {found.version}, sha256 {found.expected[:12]}")
    else:
        now = (found.sha256 or "none")[:12]
        say(f"differs: version {found.version}, sha256 {found.expected[:12]} then, {now} now")
        for difference in found.differences:
            say(f"  {difference}")
    if not found.identical:
        raise typer.Exit(1)
