"""The tables role: each declared table's changes to its topic."""

from __future__ import annotations

from headrace.roles.context import Context
from headrace.stream.tables import Tables


def run(context: Context) -> None:
    root = context.declaration.path.parent
    tables = Tables(context.declaration, context.log, context.schemas, context.clock, root)
    context.loop(tables.step)
