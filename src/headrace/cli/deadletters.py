"""`headrace deadletters`: what failed and why; repaired records back into the stream."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.instant import EARLIEST, LATEST, instant_text
from headrace.errors import SourceError
from headrace.stream.deadletters import DeadLetter, dead_letters
from headrace.stream.deadletters import replay as feed_back
from headrace.stream.producer import Producer

app = typer.Typer(help="What failed, and why; repaired records back.", no_args_is_help=True)

StreamName = Annotated[str | None, typer.Option("--stream", help="One stream, in lower case; else all.")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="undecodable, future, late, covered, or check:<rule>.")
]


@app.command("list")
def list_(
    project: ProjectPath,
    stream: StreamName = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(help="How many to print.")] = 20,
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List dead letters; --json gives one object a line, which `replay` takes back when it was repaired."""
    declaration, chosen = open_project(project, profile, home)
    log, schemas = chosen.open_log(), chosen.open_schemas()
    streams = _streams(declaration, stream)
    found = [
        (definition, letter)
        for definition in streams
        for letter in dead_letters(declaration, log, schemas, definition)
        if reason is None or letter.reason == reason
    ]
    if as_json:
        for definition, letter in found:
            print(json.dumps(_shown(definition, letter), ensure_ascii=False))
        return
    console = Console()
    counts = Counter((definition.title, letter.reason) for definition, letter in found)
    summary = Table("stream", "reason", "records", box=None, padding=(0, 2))
    for (title, why), count in sorted(counts.items()):
        summary.add_row(title, escape(why), f"{count:,}")
    console.print(summary if counts else "no dead letters")
    if counts:
        table = Table("id", "reason", "detail", box=None, padding=(0, 2))
        for _, letter in islice(found, limit):
            table.add_row(*map(escape, (letter.id, letter.reason, letter.detail)))
        console.print(table)


@app.command()
def replay(
    project: ProjectPath,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Repaired records: lines of `list --json`.")
    ] = None,
    stream: StreamName = None,
    reason: Reason = None,
    profile: ProfileName = "local",
    home: Home = None,
) -> None:
    """Feed repaired records back; without a FILE, those of a --reason as they are (late ones, say)."""
    declaration, chosen = open_project(project, profile, home)
    if file is None and reason is None:
        raise SourceError(
            "deadletters replay", "it is not said which", "name a FILE of repaired records, or a --reason"
        )
    log, schemas = chosen.open_log(), chosen.open_schemas()
    repaired = {} if file is None else dict(_repairs(file))
    chosen_letters: list[tuple[StreamDef, list[DeadLetter]]] = []
    for definition in _streams(declaration, stream):
        letters = []
        for letter in dead_letters(declaration, log, schemas, definition):
            if file is not None and letter.id in repaired:
                letters.append(replace(letter, value=repaired.pop(letter.id)))
            elif file is None and letter.reason == reason:
                letters.append(letter)
        chosen_letters.append((definition, letters))
    for letter_id in repaired:
        raise SourceError(f"dead letter {letter_id}", "there is none of this id", "keep the ids that `list` gives")
    count = 0
    for definition, letters in chosen_letters:
        if letters:
            producer = Producer(log, schemas, definition, partitions=chosen.partitions)
            count += feed_back(producer, letters)
    Console().print(f"fed {count:,} records back", highlight=False)


def _streams(declaration: Declaration, title: str | None) -> list[StreamDef]:
    return list(declaration.streams.values()) if title is None else [declaration.stream(title)]


def _shown(stream: StreamDef, letter: DeadLetter) -> dict[str, Any]:
    value = None if letter.value is None else dict(letter.value)
    for name, kind in stream.columns.items():
        if value is not None and kind.kind == "time" and value[name] is not None:
            value[name] = instant_text(value[name]) if EARLIEST <= value[name] <= LATEST else value[name]
    return {
        "id": letter.id,
        "stream": stream.title,
        "reason": letter.reason,
        "detail": letter.detail,
        "arrival": instant_text(letter.arrival),
        "value": value,
    }


def _repairs(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"file {file}", f"it cannot be read: {error}", "name a file of text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield str(row["id"]), dict(row["value"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SourceError(
                f"{file}, line {number}", "it has no id and value", "give back lines of `deadletters list --json`"
            ) from error
