"""Resolves tables and streams: checks, joins, derived columns."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
from ibis.common.annotations import ValidationError
from ibis.common.exceptions import IbisError

from headrace.declare.declaration import Check, Derived, Join, StreamDef, TableDef
from headrace.declare.faults import FAULTS, fault_text
from headrace.declare.parts import EnrichPart, Function, Parts
from headrace.declare.records import Stream, Table
from headrace.declare.row import Row, relation
from headrace.declare.types import ColumnType, type_of
from headrace.errors import DeclarationError, ExpressionError


def call(function: Function, subject: str, *arguments: Any) -> dict[str, Any]:
    """What a decorated function gives: {name: expression}, names that may be columns."""
    wanted = len(inspect.signature(function).parameters)
    if wanted != len(arguments):
        raise DeclarationError(
            subject, f"it takes {wanted} parameters, and is given {len(arguments)}", "take one for each record"
        )
    given = evaluated(function, subject, *arguments)
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise DeclarationError(
            subject, f"it gives {type(given).__name__}, not a dict", "return {'name': expression}"
        )
    for name in given:
        if not name.isidentifier() or name.startswith("_") or "__" in name:
            raise DeclarationError(
                subject, f"{name!r} cannot be a name", "use letters, digits and single '_' inside"
            )
    return given


def evaluated(function: Function, subject: str, *arguments: Any) -> Any:
    """What a decorated function returns; what it raises is told in our words, with its place in the user's file."""
    try:
        return function(*arguments)
    except (*FAULTS, IbisError, ValidationError) as error:
        raise ExpressionError(
            subject,
            f"it cannot be evaluated: {fault_text(error, Path(inspect.getfile(function)))}",
            "combine columns and constants of fitting types only",
        ) from error


def typed(expression: Any, subject: str) -> ColumnType:
    """The type of an expression that may become a column."""
    found = type_of(expression) if isinstance(expression, ir.Value) else None
    if found is None:
        what = expression.type() if isinstance(expression, ir.Value) else type(expression).__name__
        raise DeclarationError(
            subject, f"it is {what}, which no column can hold", "give a string, number, bool or time"
        )
    return found


def resolve_tables(parts: Parts) -> dict[str, TableDef]:
    """Every table that an enrichment or a features function names, by title."""
    found: dict[str, TableDef] = {}
    owners: dict[str, type[Table]] = {}
    for table in _tables_named(parts):
        title = table.title()
        if owners.setdefault(title, table) is not table:
            raise DeclarationError(f"table {table.__name__}", "two tables have this name", "rename one")
        found[title] = TableDef(
            title, table.source, table.key, table.refresh, table.ttl, table.valid_from, table.columns
        )
    return found


def _tables_named(parts: Parts) -> Iterator[type[Table]]:
    for enrichment in parts.enrichments:
        yield from enrichment.tables
    if parts.features is not None:
        yield from (hint for hint in parts.features.__annotations__.values() if _is_table(hint))
    if parts.features is not None:
        names = inspect.signature(parts.features).parameters
        for value in parts.features.__globals__.values():
            if _is_table(value) and value.title() in names:
                yield value


def _is_table(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Table) and value is not Table


def resolve_streams(parts: Parts, tables: Mapping[str, TableDef]) -> dict[str, StreamDef]:
    """Every stream that the project names, by title."""
    found: dict[str, StreamDef] = {}
    owners: dict[str, type[Stream]] = {}
    for stream in _streams_named(parts):
        title = stream.title()
        if owners.setdefault(title, stream) is not stream:
            raise DeclarationError(f"stream {stream.__name__}", "two streams have this name", "rename one")
        if title in found:
            continue
        if title in tables:
            raise DeclarationError(f"stream {stream.__name__}", "a table has this name", "rename one")
        joins, derived = _enrichment(parts, stream, tables)
        found[title] = StreamDef(
            title=title,
            topic=stream.topic,
            key=stream.key,
            time=stream.time,
            lateness=stream.lateness,
            skew=stream.skew,
            columns=stream.columns,
            checks=_checks(parts, stream),
            joins=joins,
            derived=derived,
        )
    topics = [stream.topic for stream in found.values()]
    if len(set(topics)) < len(topics):
        raise DeclarationError(f"project {parts.name}", "two streams share a topic", "give each its own")
    return found


def _streams_named(parts: Parts) -> Iterator[type[Stream]]:
    yield from (part.stream for part in parts.checks)
    yield from (part.stream for part in parts.enrichments)
    yield from (part.stream for part in parts.windows)
    if parts.label is not None:
        yield parts.label.stream
        examples = parts.label.examples
        if hasattr(examples, "stream"):
            yield examples.stream


def _checks(parts: Parts, stream: type[Stream]) -> tuple[Check, ...]:
    record = relation(stream.columns)
    row = Row(f"stream {stream.__name__}", {name: record[name] for name in stream.columns})
    checks: dict[str, Check] = {}
    for part in parts.checks:
        if part.stream is not stream:
            continue
        for name, condition in call(part.function, f"check {part.function.__name__}", row).items():
            subject = f"check {part.function.__name__}.{name}"
            if name in checks:
                raise DeclarationError(subject, "another rule of this stream has this name", "rename one")
            if typed(condition, subject).kind != "bool":
                raise DeclarationError(subject, "it is not a condition", "compare something: `sale.units >= 0`")
            checks[name] = Check(name, condition)
    return tuple(checks.values())


def _enrichment(
    parts: Parts, stream: type[Stream], tables: Mapping[str, TableDef]
) -> tuple[tuple[Join, ...], tuple[Derived, ...]]:
    joins: dict[str, Join] = {}
    derived: dict[str, Derived] = {}
    for part in parts.enrichments:
        if part.stream is not stream:
            continue
        for join in _joins(part, tables):
            known = joins.setdefault(join.table.title, join)
            if known.on != join.on:
                raise DeclarationError(
                    f"enrich {part.function.__name__}",
                    f"it looks {join.table.title} up by {', '.join(join.on)}, "
                    f"and another enrichment of {stream.__name__} by {', '.join(known.on)}",
                    "use the same on= in both, or declare the table a second time under another class name",
                )
        columns = dict(stream.columns)
        for table in part.tables:
            definition = tables[table.title()]
            columns |= {
                definition.column(name): ColumnType(kind.kind, nullable=True)
                for name, kind in table.columns.items()
            }
        record = relation(columns)
        rows = [Row(f"stream {stream.__name__}", {name: record[name] for name in stream.columns})]
        for table in part.tables:
            definition = tables[table.title()]
            rows.append(
                Row(f"table {table.__name__}", {name: record[definition.column(name)] for name in table.columns})
            )
        for name, expression in call(part.function, f"enrich {part.function.__name__}", *rows).items():
            subject = f"enrich {part.function.__name__}.{name}"
            if name in stream.columns or name in derived:
                raise DeclarationError(subject, f"{stream.__name__} has a column of this name", "rename it")
            derived[name] = Derived(name, expression, ColumnType(typed(expression, subject).kind, nullable=True))
    return tuple(joins.values()), tuple(derived.values())


def _joins(part: EnrichPart, tables: Mapping[str, TableDef]) -> Iterator[Join]:
    subject = f"enrich {part.function.__name__}"
    keys = [key for table in part.tables for key in table.key]
    for key in part.on:
        if key not in keys:
            raise DeclarationError(
                subject,
                f"on={key!r} is not a key of its tables",
                f"use {', '.join(keys) or 'no on= without a table'}",
            )
    for table in part.tables:
        on = tuple(part.on.get(name, name) for name in table.key)
        for key, name in zip(table.key, on, strict=True):
            if name not in part.stream.columns:
                raise DeclarationError(
                    subject,
                    f"{part.stream.__name__} has no column {name!r} to look {table.__name__} up by",
                    f"declare the column, or pass on={{'{key}': <a column of {part.stream.__name__}>}}",
                )
            if part.stream.columns[name].kind != table.columns[key].kind:
                raise DeclarationError(
                    subject,
                    f"{part.stream.__name__}.{name} is {part.stream.columns[name]}, "
                    f"and {table.__name__}.{key} is {table.columns[key]}",
                    "declare both with one type",
                )
        yield Join(tables[table.title()], on)
