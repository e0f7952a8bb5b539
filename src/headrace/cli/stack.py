"""`headrace stack`: the cluster profile's servers on this machine."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.options import Json
from headrace.stack import Stack
from headrace.stack.doctor import examine
from headrace.stack.stack import HOME

app: Final = typer.Typer(
    help="Kafka, registry, Flink, PostgreSQL, Redis, Prometheus on this machine, without containers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
StackHome = Annotated[Path, typer.Option("--home", help="Where data, logs and stack.toml live.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SERVER]...", help="kafka, kafka-1, registry, flink, ...; all when none is named."),
]
_HOME: Final = Path(HOME)


def _open(home: Path) -> Stack:
    console, lock, begun = Console(stderr=True), threading.Lock(), time.monotonic()

    def say(name: str, what: str) -> None:
        with lock:
            console.print(f"{time.monotonic() - begun:6.1f} s  {name:<14} {what}", soft_wrap=True, highlight=False)

    return Stack(home, say=say)


@app.command()
def install(names: Names = None) -> None:
    """Fetch what is missing: jars from Maven, packages from apt. `up` does it too."""
    _open(_HOME).install(*names or ())


@app.command()
def up(names: Names = None, home: StackHome = _HOME, as_json: Json = False) -> None:
    """Install what is missing, start what does not run, and return when every server answers."""
    stack = _open(home)
    stack.start(*names or ())
    if as_json:
        print(
            json.dumps(
                {"profile": str(stack.profile), "servers": [asdict(row) for row in stack.status()]}, indent=2
            )
        )
    else:
        print(f"ready; its addresses are in {stack.profile}")


@app.command()
def down(
    names: Names = None,
    home: StackHome = _HOME,
    purge: Annotated[bool, typer.Option("--purge", help="Drop all data, logs and ports too.")] = False,
) -> None:
    """Stop the servers; their data stays."""
    stack = _open(home)
    if purge and names:
        raise typer.BadParameter("--purge drops everything: name no server")
    if purge:
        stack.purge()
    else:
        stack.stop(*names or ())


@app.command()
def status(home: StackHome = _HOME, as_json: Json = False) -> None:
    """Ask each server a real question. Exit code 1 when one that runs does not answer it."""
    rows = Stack(home).status()
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        table = Table("server", "pid", "MiB", "healthy", "address", box=None, padding=(0, 2))
        for row in rows:
            healthy = "yes" if row.healthy else f"no: {row.problem}" if row.pid else "stopped"
            table.add_row(row.name, str(row.pid or ""), f"{row.memory // 2**20 or ''}", healthy, row.address)
        Console().print(table)
    if any(row.pid and not row.healthy for row in rows):
        raise typer.Exit(1)


@app.command()
def doctor(home: StackHome = _HOME, as_json: Json = False) -> None:
    """Look for known failures and name the exact mend of each. Exit code 1 when something is wrong."""
    found = examine(Stack(home))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            print(f"{finding.subject}: {finding.cause}\n    mend: {finding.remedy}")
        if not found:
            print("nothing is wrong")
    if found:
        raise typer.Exit(1)
