"""`headrace status PROJECT`: lag, offsets, model, last alert."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.declare.declaration import Declaration
from headrace.declare.instant import instant_text
from headrace.declare.topics import Topics, topics_read
from headrace.log.contract import Log
from headrace.profiles import Profile
from headrace.retraining.ledger import Ledger
from headrace.roles.lag import lag
from headrace.roles.supervisor import ROLES


def status(project: ProjectPath, profile: ProfileName = "local", home: Home = None, as_json: Json = False) -> None:
    """Show how far each role has come, what serves, and the last alert."""
    declaration, chosen = open_project(project, profile, home)
    found = report(declaration, chosen)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console()
    roles = Table("role", "records behind", "read", "mark", box=None, padding=(0, 2))
    for role, row in found["roles"].items():
        roles.add_row(
            role, *("-" if row[name] is None else f"{row[name]:,}" for name in ("lag", "read")), row["mark"]
        )
    topics = Table("topic", "records", box=None, padding=(0, 2))
    for topic, count in found["topics"].items():
        topics.add_row(escape(topic), f"{count:,}")
    console.print(roles, topics)
    model = found["model"]
    console.print(
        f"model: version {model['version']}, sha256 {model['sha256'][:12]}" if model else "model: none yet"
    )
    alert = found["last_alert"]
    console.print(f"last alert: {alert['at']} {escape(alert['subject'])}" if alert else "last alert: none")


def report(declaration: Declaration, profile: Profile) -> dict[str, Any]:
    """The same for a program. lag: records of its topics that a role has not read yet; None where it reads none."""
    log, topics = profile.open_log(), Topics.of(declaration)
    sources = topics_read(declaration)
    raw = {stream.topic for stream in declaration.streams.values()}
    there = {topic.name for topic in log.topics()}
    there = {name for name in there if name in raw or name.startswith(f"{declaration.name}.")}
    champion = profile.open_registry(declaration).champion()
    alerts = [entry for entry in Ledger(log, profile.open_schemas(), topics.ledger).read() if entry.kind == "alert"]
    return {
        "project": declaration.name,
        "roles": {role: _progress(log, role, sources.get(role), there) for role in ROLES},
        "topics": {name: sum(last - first for first, last in log.bounds(name)) for name in sorted(there)},
        "model": None if champion is None else {"version": champion.number, "sha256": champion.sha256},
        "last_alert": None if not alerts else {"at": instant_text(alerts[-1].at), "subject": alerts[-1].subject},
    }


def _progress(log: Log, role: str, topics: list[str] | None, there: set[str]) -> dict[str, Any]:
    commit = log.committed(role)
    mark = None if commit.mark is None else instant_text(commit.mark)
    if topics is None:
        return {"lag": None, "read": None, "mark": mark}
    behind = read = 0
    for topic in there.intersection(topics):
        for partition, (first, _) in enumerate(log.bounds(topic)):
            read += commit.positions.get((topic, partition), first) - first
        behind += lag(log, commit, topic)
    return {"lag": behind, "read": read, "mark": mark}
