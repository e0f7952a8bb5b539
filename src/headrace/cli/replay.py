"""`headrace replay PROJECT`: recorded streams through the running roles, in virtual time."""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from headrace.cli.options import Home, ProfileName, ProjectPath, open_project
from headrace.cli.times import milliseconds_of
from headrace.declare.declaration import Declaration
from headrace.declare.duration import SECOND, duration_text, milliseconds
from headrace.declare.instant import minute_text
from headrace.declare.topics import Topics
from headrace.errors import SourceError
from headrace.replay.askers import Asking, asker
from headrace.replay.feed import Feed
from headrace.replay.patience import PATIENCE, Patience
from headrace.replay.replayer import Replayer
from headrace.replay.steps import longest_step, steps
from headrace.retraining.ledger import Entry, Ledger


def replay(
    project: ProjectPath,
    feed: Annotated[
        list[str], typer.Option("--feed", metavar="STREAM=FILE", help="A stream's recorded events (Parquet).")
    ],
    since: Annotated[str, typer.Option("--from", help="Where the replay begins (ISO 8601).")],
    until: Annotated[str, typer.Option("--to", help="Where it ends.")],
    step: Annotated[str | None, typer.Option(help="The step; at most (and by default) the shortest hop.")] = None,
    patience: Annotated[str, typer.Option(help="How long roles may make no progress.")] = duration_text(
        int(PATIENCE * SECOND)
    ),
    profile: ProfileName = "local",
    home: Home = None,
) -> None:
    """Replay recorded streams through `headrace up PROJECT --marks`: the same results at any speed.

    A replay that was interrupted goes on where it was when it is begun again.
    """
    declaration, chosen = open_project(project, profile, home)
    chosen = replace(chosen, clock="marks")
    feeds = read_feeds(declaration, feed)
    longest = longest_step(declaration)
    size = longest if step is None else min(longest, milliseconds(step, "--step"))
    marks = steps(declaration, milliseconds_of(since, "--from"), milliseconds_of(until, "--to"), size)
    waiting = Patience(milliseconds(patience, "--patience") / SECOND, work=lambda: _files(chosen.home / "training"))
    log = chosen.open_log()
    registry = chosen.open_registry(declaration)

    def champion() -> str | None:
        found = registry.champion()
        return None if found is None else str(found.number)

    asking = Asking(chosen.server, list(declaration.request), champion, waiting)
    replayer = Replayer(
        declaration,
        log,
        chosen.open_schemas(),
        feeds,
        asker(declaration, log, chosen.open_archive(declaration), feeds, asking, waiting),
        chosen.partitions,
        waiting,
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
            progress.update(task, completed=bisect_right(marks, mark), description=day)
            if requests:
                progress.console.print(f"{day}  {requests:>7,} predictions asked", highlight=False)
            for entry in islice(ledger.read(), len(told), None):
                told.append(entry)
                progress.console.print(told_of(day, entry), highlight=False)

        try:
            replayer.run(marks, after)
        finally:
            asking.close()
    console.print(
        f"replayed {totals['events']:,} events, asked {totals['requests']:,} predictions", highlight=False
    )


def told_of(day: str, entry: Entry) -> Text:
    """A decision in one line. (Texts of a project are no markup.)"""
    reason = entry.detail.get("reason", "")
    return Text.assemble(f"{day}  ", (entry.kind, "bold"), f" {entry.subject}: {reason}")


def _files(folder: Path) -> int:
    """How many there are: a training that runs writes some at each of its steps."""
    return sum(len(names) for _, _, names in os.walk(folder))


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
