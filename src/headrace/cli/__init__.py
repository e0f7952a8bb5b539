"""The command `headrace`: one file a command. Exit codes: 0 done, 1 an error that it names, 2 wrong usage."""

from __future__ import annotations

import sys
from typing import Final

import typer

from headrace.cli import (
    backfill,
    check,
    compare,
    deadletters,
    export,
    ledger,
    lineage,
    produce,
    replay,
    report,
    reproduce,
    run,
    runs,
    stack,
    status,
    train,
    up,
    vacuum,
)
from headrace.errors import HeadraceError

app: Final = typer.Typer(
    name="headrace",
    help="Declare a real-time machine-learning system once, in one Python file, and run it anywhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(check.check)
app.command()(up.up)
app.command()(run.run)
app.command()(status.status)
app.command()(backfill.backfill)
app.command()(produce.produce)
app.command()(replay.replay)
app.command()(train.train)
app.command()(runs.runs)
app.command()(reproduce.reproduce)
app.command()(lineage.lineage)
app.command()(report.report)
app.command()(vacuum.vacuum)
app.command()(compare.compare)
app.command()(ledger.ledger)
app.add_typer(deadletters.app, name="deadletters")
app.add_typer(export.app, name="export")
app.add_typer(stack.app, name="stack")


def main() -> None:
    """Runs a command; an error of ours is one line on standard error, and exit code 1."""
    try:
        app()
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
