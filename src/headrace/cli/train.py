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
    until: Annotated[str | None, typer.Option(help="Use what had arrived by then (ISO 8601); else by now.")] = None,
    profile: ProfileName = "local",
    runner: Annotated[
        str | None, typer.Option(help="local or kubeflow, instead of the profile's `pipelines`.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train a model from the archive, evaluate it against the naive forecast and the champion, register it."""
    from headrace.monitoring.watermark import IN_FLIGHT, watermark
    from headrace.training.splits import date

    declaration, chosen = open_project(project, profile, home)
    run = chosen.open_runner(runner)
    console = Console(stderr=as_json)
    parameters = dict(_assignment(text) for text in parameter or [])
    now = time.time_ns() // 1_000_000
    wanted = now if until is None else milliseconds_of(until, "--until")
    moment = min(wanted, watermark(declaration, chosen.open_log(), chosen.open_schemas(), now))

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    if moment < wanted - IN_FLIGHT:
        say(f"the archive has what arrived before {date(moment)}: that is used")
    result = run(declaration, chosen, moment, parameters, say)
    if as_json:
        told = {"version": result.version, "sha256": result.sha256, "metrics": result.metrics}
        print(json.dumps({**told, "folder": str(result.folder), "report": str(result.report)}, indent=2))
    else:
        say(f"registered version {result.version}, sha256 {result.sha256[:12]}")
        say(f"report: {result.report}")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise TrainingError(f"parameter {text!r}", "it is not NAME=VALUE", "write -p max_depth=8")
    return name, value
