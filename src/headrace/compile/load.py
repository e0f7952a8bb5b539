"""Loads a project: reads it, checks every expression against the allow-list, compiles it for every target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import ibis.expr.types as ir

from headrace.compile import duckdb, flink
from headrace.compile.allowed import check
from headrace.compile.scalar import compile_scalar
from headrace.declare.declaration import Declaration, Resolve
from headrace.declare.load import read_project


def load(path: Path) -> Declaration:
    """A project whose every expression runs on every engine; DeclarationError otherwise."""
    declaration = read_project(path)
    for subject, expressions in expressions_of(declaration):
        for name, expression in expressions.items():
            check(expression, f"{subject}.{name}")
    compiled(declaration)
    return declaration


def compiled(declaration: Declaration) -> dict[str, dict[str, str]]:
    """The text of every group of expressions by target: DuckDB SQL, Flink SQL, Python."""
    texts: dict[str, dict[str, str]] = {"duckdb": {}, "flink": {}, "python": {}}
    for subject, expressions in expressions_of(declaration):
        if expressions:
            texts["duckdb"][subject] = duckdb.select(expressions)
            texts["flink"][subject] = flink.select(expressions)
            texts["python"][subject] = compile_scalar(expressions).source
    return texts


def expressions_of(declaration: Declaration) -> Iterator[tuple[str, Mapping[str, ir.Value]]]:
    """Every group of expressions over one relation, with its name for errors."""
    for stream in declaration.streams.values():
        yield f"check {stream.title}", {check.name: check.expression for check in stream.checks}
        yield f"enrich {stream.title}", {column.name: column.expression for column in stream.derived}
    for stream in declaration.streams.values():
        windows = {
            window.name.replace("__", "."): window.view.expression
            for window in declaration.windows.values()
            if window.view.stream == stream.title and window.view.expression is not None
        }
        yield f"windows over {stream.title}", windows
    resolved = {
        step.column.name: step.column.expression for step in declaration.resolution if isinstance(step, Resolve)
    }
    yield "resolve", resolved
    yield "features", {feature.name: feature.expression for feature in declaration.features}
    expression = declaration.label.definition.expression
    if expression is not None:
        yield "label", {declaration.label.name: expression}
