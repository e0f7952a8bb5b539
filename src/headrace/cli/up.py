"""`headrace up PROJECT`: all roles, supervised."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from headrace.cli.options import Home, ProfileName, ProjectPath, open_project
from headrace.roles.signals import set_on_signals
from headrace.roles.supervisor import ROLES, Supervisor
from headrace.stream.layouts import refuse_changes

_COLOURS = dict(
    zip(ROLES, ("cyan", "green", "magenta", "blue", "yellow", "bright_red", "bright_cyan"), strict=True)
)


def up(
    project: ProjectPath,
    profile: ProfileName = "local",
    home: Home = None,
    marks: Annotated[bool, typer.Option("--marks", help="Keep time by a replay's marks.")] = False,
) -> None:
    """Run every role of a project until Ctrl-C; a role that ends is started again with back-off."""
    declaration, chosen = open_project(project, profile, home)
    refuse_changes(declaration, chosen.open_schemas())
    console, lock = Console(), threading.Lock()

    def say(role: str, line: str) -> None:
        with lock:
            console.print(Text(f"{role:>8} | ", style=_COLOURS.get(role, "")), Text(line), sep="", soft_wrap=True)

    options = ["--profile", profile, "--home", str(chosen.home), *(["--marks"] if marks else [])]
    supervisor = Supervisor(project, options, say)
    set_on_signals(supervisor.stop)
    say("headrace", f"{declaration.name} comes up; it will answer at {chosen.server}; Ctrl-C stops it")
    supervisor.run()
    say("headrace", "stopped")
