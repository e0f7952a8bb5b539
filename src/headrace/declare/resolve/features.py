"""Resolves the request, the way from a request to every key and attribute, and the features."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import ibis

from headrace.declare.declaration import (
    Derived,
    Feature,
    Join,
    Label,
    Lookup,
    Resolve,
    StreamDef,
    TableDef,
    WindowFeature,
)
from headrace.declare.label import RESERVED, Each
from headrace.declare.parts import Function, Parts
from headrace.declare.resolve.streams import call, typed
from headrace.declare.row import Row, columns_used, relation
from headrace.declare.types import ColumnType
from headrace.errors import DeclarationError

CALENDAR: Mapping[str, ColumnType] = {
    "hour": ColumnType("int"),
    "day_of_week": ColumnType("int"),
    "day_of_month": ColumnType("int"),
    "week": ColumnType("int"),
    "month": ColumnType("int"),
    "quarter": ColumnType("int"),
    "is_weekend": ColumnType("bool"),
    "is_holiday": ColumnType("bool"),
}
"""Calendar features, in the project's time zone. day_of_week: 0 is Monday. week: ISO 8601."""


def resolve_request(parts: Parts, streams: Mapping[str, StreamDef], label: Label) -> dict[str, ColumnType]:
    """What a caller sends: the entity's keys where examples are on a grid, else the example event's columns."""
    if isinstance(label.examples, Each):
        columns = dict(streams[label.examples.stream.title()].columns)
    else:
        stream = streams[label.stream]
        columns = {key: ColumnType(stream.enriched[key].kind) for key in parts.entity}
    for key in parts.entity:
        if key not in columns:
            raise DeclarationError(
                f"project {parts.name}",
                f"entity={key!r} is not in the request ({', '.join(columns)})",
                "declare it",
            )
    for name in RESERVED:
        if name in columns:
            raise DeclarationError(
                f"request.{name}", f"{name!r} is a name of the system's own", "rename the column"
            )
    if label.name in columns:
        raise DeclarationError(
            f"label {label.name}", "the request has a column of this name: it leaks", "rename it"
        )
    return columns


def resolution_steps(
    parts: Parts,
    request: Mapping[str, ColumnType],
    streams: Mapping[str, StreamDef],
    tables: Mapping[str, TableDef],
    windows: Mapping[str, WindowFeature],
    label: Label,
) -> tuple[Lookup | Resolve, ...]:
    """Everything that can be known from a request, in the order in which it becomes known.

    A table is looked up by the columns that its enrichment joined it on (that of the examples' stream first), else
    by columns of its key's names. An enrichment's column is resolved when all that it reads is known; a name that
    streams derive in different ways has no meaning in a request, and is refused.
    """
    order = [label.examples.stream.title() if isinstance(label.examples, Each) else label.stream, *streams]
    joins: dict[str, Join] = {}
    derived: dict[str, Derived] = {}
    owners: dict[str, str] = {}
    for stream in (streams[title] for title in order):
        for join in stream.joins:
            joins.setdefault(join.table.title, join)
        for column in stream.derived:
            owner = owners.setdefault(column.name, stream.title)
            if not _alike(derived.setdefault(column.name, column), column):
                raise DeclarationError(
                    f"column {column.name} of enriched {stream.title}",
                    f"{owner} has a column of this name from another expression: a request could have one only",
                    "rename one, or write the same expression",
                )
    for table in tables.values():
        joins.setdefault(table.title, Join(table, table.key))
    known = set(request)
    steps: list[Lookup | Resolve] = []
    progress = True
    while progress:
        progress = False
        for title, join in list(joins.items()):
            if known.issuperset(join.on):
                steps.append(Lookup(join))
                known |= {join.table.column(name) for name in join.table.columns}
                del joins[title]
                progress = True
        for name, column in list(derived.items()):
            if name not in known and known.issuperset(columns_used(column.expression)):
                steps.append(Resolve(column))
                known.add(name)
                del derived[name]
                progress = True
    for feature in windows.values():
        for key in feature.view.by:
            if key not in known:
                raise DeclarationError(
                    f"windows {feature.name.replace('__', '.')}",
                    f"its key {key!r} cannot be known from a request ({', '.join(request)})",
                    "add it to entity= or to the request, or derive it from a table that the request can look up",
                )
    return tuple(steps)


def _alike(one: Derived, other: Derived) -> bool:
    """Whether two derived columns are the same expression, over columns of whatever stream."""
    texts = {str(ibis.to_sql(column.expression.name("x"), dialect="duckdb")) for column in (one, other)}
    return len(texts) == 1 and one.type == other.type


def resolve_features(
    function: Function,
    request: Mapping[str, ColumnType],
    tables: Mapping[str, TableDef],
    steps: tuple[Lookup | Resolve, ...],
    windows: Mapping[str, WindowFeature],
    label: Label,
) -> tuple[dict[str, ColumnType], tuple[Feature, ...]]:
    """The features' relation (all that a feature may read) and the features themselves."""
    bare = dict(request)
    inputs: dict[str, ColumnType] = {}
    groups: dict[str, dict[str, str]] = {"calendar": {name: f"calendar__{name}" for name in CALENDAR}}
    for step in steps:
        if isinstance(step, Lookup):
            table = step.join.table
            groups[table.title] = {name: table.column(name) for name in table.columns}
            inputs |= {table.column(name): ColumnType(kind.kind, True) for name, kind in table.columns.items()}
        else:
            bare[step.column.name] = step.column.type
    for feature in windows.values():
        title, name = feature.name.split("__")
        groups.setdefault(title, {})[name] = feature.name
        inputs[feature.name] = feature.type
    inputs |= {f"calendar__{name}": kind for name, kind in CALENDAR.items()}
    inputs = {**bare, **inputs}
    groups["request"] = {name: name for name in bare}
    record = relation(inputs)
    rows = []
    for parameter in inspect.signature(function).parameters:
        subject = f"features {function.__name__}"
        if parameter == label.name:
            raise DeclarationError(subject, f"the label {parameter!r} would leak into them", "drop the parameter")
        if parameter in tables and parameter not in groups:
            raise DeclarationError(
                subject,
                f"the row of {parameter!r} cannot be known from a request ({', '.join(request)})",
                f"add {', '.join(tables[parameter].key)} to entity= or to the request",
            )
        if parameter not in groups:
            raise DeclarationError(
                subject, f"nothing is called {parameter!r}", f"its parameters may be {', '.join(sorted(groups))}"
            )
        rows.append(Row(parameter, {name: record[column] for name, column in groups[parameter].items()}))
    found = []
    for name, expression in call(function, f"features {function.__name__}", *rows).items():
        subject = f"feature {function.__name__}.{name}"
        if name == label.name:
            raise DeclarationError(subject, "it has the label's name: the label would leak", "rename it")
        if name in RESERVED:
            raise DeclarationError(subject, f"{name!r} is a name of the system's own", "rename it")
        kind = typed(expression, subject)
        if kind.kind == "time":
            raise DeclarationError(subject, "a model takes no times", "give a part of it, or a number")
        found.append(Feature(name, expression, ColumnType(kind.kind, nullable=True)))
    if not found:
        raise DeclarationError(f"features {function.__name__}", "there are none", "return at least one")
    return inputs, tuple(found)
