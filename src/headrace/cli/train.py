"""`headrace train PROJECT`: the four steps, and a registered model."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.cli.times import milliseconds_of
from headrace.errors import TrainingError


def train(
    project: ProjectPath,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A model parameter.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Use what had arrived by then (ISO 8601); else now.")] = None,
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train a model from the archive, evaluate it against the naive forecast and the champion, register it."""
    from headrace.training.local import run

    declaration, chosen = open_project(project, profile, home)
    console = Console(stderr=as_json)
    parameters = dict(_assignment(text) for text in parameter or [])
    moment = time.time_ns() // 1_000_000 if until is None else milliseconds_of(until, "--until")
    result = run(declaration, chosen, moment, parameters, lambda line: console.print(line, highlight=False))
    if as_json:
        print(json.dumps({"version": result.version, "sha256": result.sha256, "metrics": result.metrics}, indent=2))
    else:
        console.print(f"registered version {result.version}, sha256 {result.sha256[:12]}", highlight=False)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise TrainingError(f"parameter {text!r}", "it is not NAME=VALUE", "write -p max_depth=8")
    return name, value
