"""The tables role: each declared table's changes to its topic."""

from __future__ import annotations

from headrace.roles.context import Context
from headrace.stream.tables import Tables


def run(context: Context) -> None:
    clock = context.clock
    tables = Tables(context.declaration, context.log, context.schemas, lambda: clock.now() or 0, mark=clock.mark)

    def step() -> int:
        return 0 if clock.now() is None else tables.step()

    context.loop(step)
