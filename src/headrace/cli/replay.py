"""`headrace replay PROJECT`: recorded streams through the running roles, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.cli.options import Home, ProfileName, ProjectPath, open_project
from headrace.cli.times import milliseconds_of
from headrace.declare.declaration import Declaration
from headrace.declare.duration import span
from headrace.declare.instant import minute_text
from headrace.declare.topics import Topics
from headrace.errors import SourceError
from headrace.replay.askers import Asking, asker
from headrace.replay.feed import Feed
from headrace.replay.replayer import Replayer
from headrace.replay.steps import longest_step, steps
from headrace.retraining.ledger import Ledger


def replay(
    project: ProjectPath,
    feed: Annotated[
        list[str], typer.Option("--feed", metavar="STREAM=FILE", help="A stream's recorded events (Parquet).")
    ],
    since: Annotated[str, typer.Option("--from", help="Where the replay begins (ISO 8601).")],
    until: Annotated[str, typer.Option("--to", help="Where it ends.")],
    step: Annotated[str | None, typer.Option(help="The step; at most (and by default) the shortest hop.")] = None,
    profile: ProfileName = "local",
    home: Home = None,
) -> None:
    """Replay recorded streams through `headrace up PROJECT --marks`: the same results at any speed."""
    declaration, chosen = open_project(project, profile, home)
    chosen = replace(chosen, clock="marks")
    feeds = read_feeds(declaration, feed)
    longest = longest_step(declaration)
    size = min(longest, span(step, "--step")) if step else longest
    marks = steps(declaration, milliseconds_of(since, "--from"), milliseconds_of(until, "--to"), size)
    log = chosen.open_log()
    registry = chosen.open_registry(declaration)

    def champion() -> str | None:
        found = registry.champion()
        return None if found is None else str(found.number)

    asking = Asking(chosen.server, list(declaration.request), champion)
    replayer = Replayer(
        declaration,
        log,
        chosen.open_schemas(),
        feeds,
        asker(declaration, log, chosen.open_archive(declaration), feeds, asking),
        chosen.partitions,
    )
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    ledger = Ledger(log, chosen.open_schemas(), Topics.of(declaration).ledger)
    told = list(ledger.read())
    totals = {"events": 0, "requests": 0}
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replay", total=len(marks))

        def after(mark: int, events: int, requests: int) -> None:
            totals["events"] += events
            totals["requests"] += requests
            day = minute_text(mark)
            progress.update(task, advance=1, description=day)
            if requests:
                progress.console.print(f"{day}  {requests:>7,} predictions asked", highlight=False)
            for entry in islice(ledger.read(), len(told), None):
                told.append(entry)
                reason = escape(str(entry.detail.get("reason", "")))
                progress.console.print(
                    f"{day}  [bold]{entry.kind}[/bold] {escape(entry.subject)}: {reason}", highlight=False
                )

        replayer.run(marks, after)
    console.print(
        f"replayed {totals['events']:,} events, asked {totals['requests']:,} predictions", highlight=False
    )


def read_feeds(declaration: Declaration, given: list[str]) -> dict[str, Feed]:
    """Feeds by stream title, of `STREAM=FILE` texts."""
    files: dict[str, list[Path]] = {}
    for text in given:
        title, equals, file = text.partition("=")
        if not equals:
            raise SourceError(f"feed {text!r}", "it names no file", "write STREAM=FILE")
        declaration.stream(title)
        files.setdefault(title, []).append(Path(file))
    return {title: Feed.read(declaration.streams[title], paths) for title, paths in files.items()}
