"""`headrace lineage PROJECT SUBJECT`: where a prediction, a run or a model comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.declare.instant import minute_text
from headrace.lineage import Lineage, Tracer


def lineage(
    project: ProjectPath,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="A prediction's id, a run's id, or a model's version.")
    ],
    profile: ProfileName = "local",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print what a prediction, a run or a model was made from, down to the versions of data and declaration."""
    declaration, chosen = open_project(project, profile, home)
    archive, registry = chosen.open_archive(declaration), chosen.open_registry(declaration)
    found = Tracer(declaration, chosen.open_log(), chosen.open_schemas(), archive, registry).trace(subject)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        Console().print(tree(found))


def tree(found: Lineage) -> Tree:
    """From the subject down to what it rests on."""
    root = at = Tree("", hide_root=True)
    if found.prediction is not None:
        one = found.prediction
        at = at.add(Text(f"prediction {one.id}: {one.prediction:.6g} at {minute_text(one.t)}"))
        _values(at, "request", one.request)
        _values(at, "features as served", one.features)
    if found.model is not None:
        alias = f", {found.model.alias}" if found.model.alias else ""
        at = at.add(Text(f"model {found.model.version}{alias}, sha256 {found.model.sha256[:12]}"))
        if found.model.history:
            past = at.add("history")
            for entry in found.model.history:
                reason = entry.detail.get("reason", "")
                past.add(Text(f"{minute_text(entry.at)} {entry.kind} {entry.subject}: {reason}"))
    if found.run is not None:
        at = at.add(Text(f"run {found.run.id} of {minute_text(found.run.began)}, {found.run.status.lower()}"))
        _values(at, "parameters", found.run.parameters)
        _values(at, "metrics", {name: f"{value:.6g}" for name, value in found.run.metrics.items()})
        _values(
            at,
            "made with",
            {name: found.run.tags[name] for name in ("library", "python") if name in found.run.tags},
        )
        _values(at, "archive versions", found.data)
        now = "the present one" if found.present else "not the present one"
        commit = f", commit {found.commit}" if found.commit else ""
        at.add(Text(f"declaration {found.declaration[:12]}, {now}{commit}"))
    return root


def _values(at: Tree, title: str, values: Mapping[str, Any]) -> None:
    if values:
        branch = at.add(title)
        for name, value in values.items():
            branch.add(Text(f"{name}: {value}"))
