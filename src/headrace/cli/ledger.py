"""`headrace ledger PROJECT`: every alert and decision."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.cli.options import Home, Json, ProfileName, ProjectPath, open_project
from headrace.declare.instant import minute_text
from headrace.declare.topics import Topics
from headrace.retraining.ledger import Ledger


def ledger(project: ProjectPath, profile: ProfileName = "local", home: Home = None, as_json: Json = False) -> None:
    """Print every alert and every retraining decision, oldest first."""
    declaration, chosen = open_project(project, profile, home)
    entries = list(Ledger(chosen.open_log(), chosen.open_schemas(), Topics.of(declaration).ledger).read())
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    table = Table("at", "what", "subject", "why", box=None, padding=(0, 2))
    for entry in entries:
        table.add_row(
            minute_text(entry.at), entry.kind, Text(entry.subject), Text(str(entry.detail.get("reason", "")))
        )
    Console().print(table if entries else "the ledger is empty: the monitor has not decided anything yet")
