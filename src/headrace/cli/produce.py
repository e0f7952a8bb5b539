"""`headrace produce PROJECT STREAM [FILE...]`: events into a raw topic."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from headrace.cli.options import Home, ProfileName, ProjectPath, open_project
from headrace.errors import SourceError
from headrace.stream.producer import Producer

_LINES = 1_000


def produce(
    project: ProjectPath,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="A stream of the project, in lower case.")],
    file: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Parquet or JSON lines; else standard input.")
    ] = None,
    profile: ProfileName = "local",
    home: Home = None,
) -> None:
    """Send events, as they are, to a stream's raw topic; JSON lines from standard input are sent as they come."""
    declaration, chosen = open_project(project, profile, home)
    definition = declaration.stream(stream)
    producer = Producer(chosen.open_log(), chosen.open_schemas(), definition, partitions=chosen.partitions)
    sent = 0
    try:
        for batch in _batches(file or []):
            if isinstance(batch, pa.Table):
                producer.send_table(batch)
                sent += batch.num_rows
            else:
                producer.send_rows(batch)
                sent += len(batch)
    finally:
        Console(stderr=True).print(f"sent {sent:,} events to {definition.topic}", highlight=False)


def _batches(files: list[Path]) -> Iterator[pa.Table | list[dict[str, Any]]]:
    if not files:
        yield from ([row] for row in _lines("standard input", sys.stdin.buffer))
        return
    for path in files:
        if not path.is_file():
            raise SourceError(f"file {path}", "there is no such file", "name one that exists")
        yield from _parquet(path) if path.suffix == ".parquet" else _json(path)


def _parquet(path: Path) -> Iterator[pa.Table]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=50_000):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"file {path}", f"it cannot be read as Parquet: {error}", "write it anew") from error


def _json(path: Path) -> Iterator[list[dict[str, Any]]]:
    try:
        with path.open("rb") as lines:
            rows = _lines(str(path), lines)
            while found := list(islice(rows, _LINES)):
                yield found
    except OSError as error:
        raise SourceError(f"file {path}", f"it cannot be read: {error.strerror}", "name another") from error


def _lines(name: str, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            raise SourceError(
                f"{name}, line {number}", f"it is not JSON in UTF-8: {error}", "write one object a line"
            ) from error
        if not isinstance(row, dict):
            raise SourceError(f"{name}, line {number}", "it is not an object", "write one object a line")
        yield row
