"""`headrace backfill PROJECT STREAM FILE... --until T`: history into the archive and the tiles."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.cli.times import milliseconds_of
from headrace.errors import WriterTaken


def backfill(
    project: ProjectPath,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="A stream of the project, in lower case.")],
    file: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Parquet, CSV or JSON lines.")],
    until: Annotated[str, typer.Option(help="The cut (ISO 8601): the live stream counts from it on.")],
    timezone: Annotated[str | None, typer.Option(help="The zone of times that carry none, such as UTC.")] = None,
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Bring history in, through the same checks and enrichment; again is once."""
    from headrace.archive.backfill import backfill as bring
    from headrace.roles.archive import catch_up
    from headrace.roles.context import Context
    from headrace.stream.tables import load_once

    declaration, chosen = open_project(project, profile, home)
    cut = milliseconds_of(until, "--until")
    log, schemas = chosen.open_log(), chosen.open_schemas()
    load_once(declaration, log, schemas, cut - 1)  # known just before the live stream begins

    def archived() -> None:
        with suppress(WriterTaken):  # a running archive role does it by itself
            catch_up(Context.of("archive", declaration, chosen))

    archived()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"backfill {stream}", total=None)
        report = bring(
            declaration,
            stream,
            file,
            cut,
            chosen.open_archive(declaration),
            log,
            schemas,
            timezone=timezone,
            catch_up=archived,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        files = [
            {
                "file": str(one.path),
                "entered": one.entered,
                "dead": dict(one.dead),
                "letters": one.letters,
                "again": one.again,
            }
            for one in report.files
        ]
        print(
            json.dumps({"stream": stream, "until": report.until, "tiles": report.tiles, "files": files}, indent=2)
        )
        return
    console = Console(highlight=False)
    for one in report.files:
        dead = ", ".join(f"{count:,} {reason}" for reason, count in sorted(one.dead.items())) or "none"
        again = " (it was here before)" if one.again else ""
        console.print(f"{escape(one.path.name)}: {one.entered:,} records in the archive{again}; refused: {dead}")
        if one.letters and one.dead:
            console.print(f"  the refused rows: {escape(one.letters)}", soft_wrap=True)
    console.print(f"{report.tiles:,} tiles of history")
