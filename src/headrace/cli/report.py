"""`headrace report PROJECT`: the page about a training run."""

from __future__ import annotations

import json
import webbrowser
from typing import Annotated

import typer

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project


def report(
    project: ProjectPath,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN|VERSION]", help="A run's folder, or the version it registered.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser of this machine.")] = False,
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print where the report of a training run is: of the last one that has one, else of the one named."""
    from headrace.training.runs import Runs

    declaration, chosen = open_project(project, profile, home)
    page = Runs(chosen.home / "training", declaration.name).report(run).resolve()
    print(json.dumps({"run": page.parent.name, "report": str(page)}, indent=2) if as_json else page)
    if show:
        webbrowser.open(page.as_uri())
