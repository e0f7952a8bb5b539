"""Arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.compile.load import load
from headrace.declare.declaration import Declaration
from headrace.profiles import Profile, read_profile

ProjectPath = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project file, or its folder.")]
ProfileName = Annotated[str, typer.Option("--profile", help="A profile of headrace.toml.")]
Home = Annotated[
    Path | None, typer.Option("--home", help="Where the profile lives; else HEADRACE_HOME, else .headrace.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def open_project(project: Path, profile: str, home: Path | None) -> tuple[Declaration, Profile]:
    """Loads and checks a project, and finds its profile."""
    declaration = load(project)
    return declaration, read_profile(declaration, profile, home)
