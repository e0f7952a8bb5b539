"""`headrace check`: loads a project, compiles it for every target, prints what it found."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import Home, Json, ProjectPath
from headrace.compile.load import compiled, load
from headrace.declare.declaration import Declaration
from headrace.declare.duration import duration_text
from headrace.declare.label import Grid
from headrace.profiles import read_profile
from headrace.stream.layouts import refuse_changes


def check(
    project: ProjectPath,
    profile: Annotated[
        str, typer.Option("--profile", help="See too that what this profile's topics hold can still be read.")
    ] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Load a project, compile it for DuckDB, Flink SQL and Python, and print what it holds."""
    declaration = load(project)
    if profile:
        refuse_changes(declaration, read_profile(declaration, profile, home).open_schemas())
    if as_json:
        print(json.dumps(summary(declaration), indent=2))
        return
    console = Console()
    for title, rows in _tables(declaration):
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    texts = compiled(declaration)
    console.print(f"ok: {declaration.name} compiles for {', '.join(texts)}")


def summary(declaration: Declaration) -> dict[str, Any]:
    """What a project holds, for a program."""
    return {
        "project": declaration.name,
        "digest": declaration.digest,
        "entity": list(declaration.entity),
        "request": {name: str(kind) for name, kind in declaration.request.items()},
        "streams": {
            stream.title: {
                "topic": stream.topic,
                "columns": {name: str(kind) for name, kind in stream.enriched.items()},
                "checks": [check.name for check in stream.checks],
                "joins": [join.table.title for join in stream.joins],
            }
            for stream in declaration.streams.values()
        },
        "tables": {table.title: table.source for table in declaration.tables.values()},
        "windows": {
            window.name.replace("__", "."): {
                "aggregate": window.aggregate,
                "over": duration_text(window.size),
                "hop": duration_text(window.view.hop),
                "by": list(window.view.by),
                "view": window.view.id,
            }
            for window in declaration.windows.values()
        },
        "features": {feature.name: str(feature.type) for feature in declaration.features},
        "label": {"name": declaration.label.name, "type": str(declaration.label.type),
                  "horizon": duration_text(declaration.label.horizon)},
        "model": {"name": declaration.model.name, "task": declaration.model.task,
                  "parameters": dict(declaration.model.parameters),
                  "cost": None if declaration.model.cost is None else vars(declaration.model.cost)},
        "monitors": {metric: f"{rule.kind} {rule.threshold:g}" for metric, rule in declaration.monitors.items()},
        "sql": compiled(declaration),
    }  # fmt: skip


def _tables(declaration: Declaration) -> list[tuple[str, list[tuple[str, ...]]]]:
    found = summary(declaration)
    examples, cost = declaration.label.examples, declaration.model.cost
    drawn = (
        f"every {duration_text(examples.every)} per {' and '.join(declaration.entity)}"
        if isinstance(examples, Grid)
        else f"at every {examples.stream.title()}"
    )
    return [
        (
            f"project {declaration.name}",
            [
                ("entity", ", ".join(declaration.entity)),
                ("label", f"{declaration.label.name} ({found['label']['type']}), {drawn}"),
                ("model", f"{declaration.model.name} ({declaration.model.task})"),
                *([] if cost is None else [("cost", f"missed: {cost.missed}, false alarm: {cost.false_alarm}")]),
                ("monitors", ", ".join(f"{name} {rule}" for name, rule in found["monitors"].items()) or "none"),
            ],
        ),
        (
            "streams",
            [
                (
                    title,
                    stream["topic"],
                    f"{len(stream['columns'])} columns",
                    f"checks: {', '.join(stream['checks'])}",
                )
                for title, stream in found["streams"].items()
            ],
        ),
        ("tables", [(title, source) for title, source in found["tables"].items()]),
        (
            "windows",
            [
                (
                    name,
                    f"{window['aggregate']} over {window['over']}",
                    f"hop {window['hop']}",
                    f"by {', '.join(window['by'])}",
                )
                for name, window in found["windows"].items()
            ],
        ),
        ("features", [(name, kind) for name, kind in found["features"].items()]),
    ]
