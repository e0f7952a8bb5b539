"""`headrace produce PROJECT STREAM [FILE...]`: events into a raw topic."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
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
    if stream not in declaration.streams:
        raise SourceError(
            f"stream {stream!r}", "the project has no such stream", f"use {', '.join(declaration.streams)}"
        )
    producer = Producer(
        chosen.open_log(), chosen.open_schemas(), declaration.streams[stream], partitions=chosen.partitions
    )
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
        Console(stderr=True).print(f"sent {sent:,} events to {declaration.streams[stream].topic}", highlight=False)


def _batches(files: list[Path]) -> Iterator[pa.Table | list[dict[str, Any]]]:
    if not files:
        yield from ([row] for row in _lines("standard input", sys.stdin))
        return
    for path in files:
        if not path.is_file():
            raise SourceError(f"file {path}", "there is no such file", "name one that exists")
        if path.suffix == ".parquet":
            for batch in pq.ParquetFile(path).iter_batches(batch_size=50_000):
                yield pa.Table.from_batches([batch])
        else:
            with path.open() as lines:
                rows: list[dict[str, Any]] = []
                for row in _lines(str(path), lines):
                    rows.append(row)
                    if len(rows) == _LINES:
                        yield rows
                        rows = []
                if rows:
                    yield rows


def _lines(name: str, lines: Any) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceError(
                f"{name}, line {number}", f"it is not JSON: {error}", "write one object a line"
            ) from error
        if not isinstance(row, dict):
            raise SourceError(f"{name}, line {number}", "it is not an object", "write one object a line")
        yield row
