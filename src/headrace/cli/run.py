"""`headrace run ROLE PROJECT`: one role in this process."""

from __future__ import annotations

import importlib
import logging
import sys
from dataclasses import replace
from typing import Annotated

import typer

from headrace.cli.options import Home, ProfileName, ProjectPath, open_project
from headrace.errors import RoleError
from headrace.roles.context import Context
from headrace.roles.exposition import expose
from headrace.roles.orphan import end_with_supervisor
from headrace.roles.signals import set_on_signals
from headrace.roles.supervisor import ROLES


def run(
    role: Annotated[str, typer.Argument(metavar="ROLE", help=" | ".join(ROLES))],
    project: ProjectPath,
    profile: ProfileName = "local",
    home: Home = None,
    marks: Annotated[bool, typer.Option("--marks", help="Keep time by a replay's marks.")] = False,
) -> None:
    """Run one role until Ctrl-C: enrich, tile, tables, archive, online, serve or monitor."""
    if role not in ROLES:
        raise RoleError(f"role {role!r}", "there is no such role", f"use one of {', '.join(ROLES)}")
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every request
    declaration, chosen = open_project(project, profile, home)
    if marks:
        chosen = replace(chosen, clock="marks")
    context = Context.of(role, declaration, chosen)
    set_on_signals(context.stop)  # the role ends its step, and leaves
    end_with_supervisor(context.stop)
    if role not in ("serve", "monitor"):  # these have more to tell, and do so themselves
        expose(context)
    importlib.import_module(f"headrace.roles.{role}").run(context)
