"""What the features of a project need, of all that a request can make known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ibis.expr.types as ir

from headrace.declare.declaration import Declaration, Join, Lookup, Resolve, TableDef
from headrace.declare.resolve.features import CALENDAR
from headrace.declare.row import columns_used


class Needs:
    """What is read for the features, and nothing else.

    rounds: lookups that can be made at once, and the columns that are resolved after them. windows: in
    declared order. strangers: the views whose emptiness makes an entity unknown: those by the entity's keys,
    else those by some of them. calendar: whether a feature reads it. request: the request's columns that are read.
    """

    def __init__(self, declaration: Declaration) -> None:
        wanted: set[str] = set()
        for feature in declaration.features:
            wanted |= columns_used(feature.expression)
        self.windows = [window for window in declaration.windows.values() if window.name in wanted]
        for window in self.windows:
            wanted.update(window.view.by)
        steps: list[Lookup | Resolve] = []
        for step in reversed(declaration.resolution):
            if isinstance(step, Resolve) and step.column.name in wanted:
                wanted |= columns_used(step.column.expression)
                steps.append(step)
            elif isinstance(step, Lookup) and not wanted.isdisjoint(row_columns(step.join.table)):
                wanted.update(step.join.on)
                steps.append(step)
        self.rounds = list(_rounds(steps[::-1]))
        self.request = [name for name in declaration.request if name in wanted]
        self.calendar = not wanted.isdisjoint(f"calendar__{name}" for name in CALENDAR)
        views = {window.view.id: set(window.view.by) for window in self.windows}
        entity = set(declaration.entity)
        exact = {view for view, by in views.items() if by == entity}
        self.strangers = exact or {view for view, by in views.items() if by < entity}


@dataclass(frozen=True)
class Round:
    """Tables that can be looked up at once, and then columns by name, each known from those before it."""

    lookups: list[Join]
    resolves: dict[str, ir.Value]


def _rounds(steps: Sequence[Lookup | Resolve]) -> Iterator[Round]:
    current, made = Round([], {}), set[str]()
    for step in steps:
        if isinstance(step, Resolve):
            current.resolves[step.column.name] = step.column.expression
            made.add(step.column.name)
            continue
        if not made.isdisjoint(step.join.on):
            yield current
            current, made = Round([], {}), set()
        current.lookups.append(step.join)
        made.update(row_columns(step.join.table))
    yield current


def row_columns(table: TableDef) -> list[str]:
    """The names of a table's columns in the features' relation."""
    return [table.column(name) for name in table.columns]
