"""`headrace compare PROJECT`: every model version on the same judged predictions."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.cli.times import milliseconds_of
from headrace.declare.topics import Topics
from headrace.errors import ModelError

if TYPE_CHECKING:
    import pyarrow.dataset as ds


def compare(
    project: ProjectPath,
    since: Annotated[str, typer.Option(help="Predictions from then on (ISO 8601).")],
    until: Annotated[str | None, typer.Option(help="What had arrived by then; else now.")] = None,
    version: Annotated[
        list[int] | None, typer.Option(help="A model version; else champion and the one before.")
    ] = None,
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Score the naive forecast and model versions on predictions whose truth is known by now."""
    from headrace.monitoring.hindsight import hindsight
    from headrace.monitoring.hindsight import since as made_since
    from headrace.monitoring.watermark import watermark

    declaration, chosen = open_project(project, profile, home)
    registry, archive, topics = (
        chosen.open_registry(declaration),
        chosen.open_archive(declaration),
        Topics.of(declaration),
    )
    found = [registry.version(number) for number in version or []]
    if not found:
        found = [known for known in (registry.previous(), registry.champion()) if known is not None]
    if not found:
        raise ModelError(f"models of {declaration.name}", "none is registered", "run headrace train first")
    now = time.time_ns() // 1_000_000
    wanted = now if until is None else milliseconds_of(until, "--until")
    known_until = min(wanted, watermark(declaration, chosen.open_log(), chosen.open_schemas(), now))
    made = made_since(archive.read(topics.predictions), milliseconds_of(since, "--since"), known_until)

    def events(where: ds.Expression) -> pa.Table:
        return archive.read(topics.enriched(declaration.label.stream), where=where)

    artifacts = {f"version {known.number}": registry.load(known) for known in found}
    scores = hindsight(declaration, made, events, artifacts, known_until)
    if as_json:
        print(json.dumps(scores, indent=2))
        return
    if not scores:
        Console().print("no prediction made since then has a final label yet")
        return
    names = [name for name in next(iter(scores.values())) if not name.endswith("examples")]
    table = Table("forecaster", *names, "examples", box=None, padding=(0, 2))
    for forecaster, row in scores.items():
        values = ["" if row[name] is None else f"{row[name]:.4f}" for name in names]
        table.add_row(forecaster, *values, f"{row['examples']:,.0f}")
    Console().print(table)
