"""Resolves windows functions into features over views."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import ibis

from headrace.declare.declaration import StreamDef, View, WindowFeature
from headrace.declare.duration import DAY, HOUR, MINUTE, duration_text
from headrace.declare.label import Future, Outcome
from headrace.declare.parts import Parts
from headrace.declare.resolve.streams import call, typed
from headrace.declare.row import Row, relation
from headrace.declare.types import ColumnType
from headrace.declare.window import FAMILY, Window
from headrace.errors import DeclarationError

MOST_TILES = 800
"""A read of more tiles than this, for one feature of one key, is refused."""


def default_hop(size: int) -> int:
    """A minute for windows up to an hour, an hour up to 12 days, a day beyond (all ms).

    >>> default_hop(7 * DAY) == HOUR
    True
    """
    return MINUTE if size <= HOUR else HOUR if size <= 12 * DAY else DAY


def resolve_windows(parts: Parts, streams: Mapping[str, StreamDef]) -> dict[str, WindowFeature]:
    """Every window feature, by `<function>__<name>`."""
    found: dict[str, WindowFeature] = {}
    functions: set[str] = set()
    for part in parts.windows:
        title = part.function.__name__
        if title in functions:
            raise DeclarationError(f"windows {title}", "two windows functions have this name", "rename one")
        functions.add(title)
        stream = streams[part.stream.title()]
        record = relation(stream.enriched)
        row = Row(f"enriched stream {part.stream.__name__}", {name: record[name] for name in stream.enriched})
        for name, window in call(part.function, f"windows {title}", row).items():
            subject = f"windows {title}.{name}"
            if isinstance(window, Future | Outcome):
                raise DeclarationError(subject, "it looks into the future: the label would leak", "use window.*")
            if not isinstance(window, Window):
                raise DeclarationError(
                    subject, f"it is {type(window).__name__}, not a window", "use window.sum(...) or another"
                )
            found[f"{title}__{name}"] = _feature(f"{title}__{name}", subject, window, part.hop, stream)
    return found


def _feature(name: str, subject: str, window: Window, every: int | None, stream: StreamDef) -> WindowFeature:
    for key in window.by:
        if key not in stream.enriched:
            raise DeclarationError(
                subject,
                f"by={key!r} is not a column of enriched {stream.title}",
                f"use {', '.join(stream.enriched)}",
            )
        if stream.enriched[key].kind not in ("str", "int", "bool"):
            raise DeclarationError(
                subject, f"by={key!r} is {stream.enriched[key]}", "key by text, whole numbers or booleans"
            )
    hop = every or default_hop(window.size)
    if window.size % hop:
        raise DeclarationError(
            subject,
            f"its hop of {duration_text(hop)} does not divide its window of {duration_text(window.size)}",
            "choose every= so that it divides every window of the function",
        )
    if window.size // hop + 1 > MOST_TILES:
        raise DeclarationError(
            subject,
            f"a read would merge {window.size // hop + 1} tiles, more than {MOST_TILES}",
            f"choose a hop of at least {duration_text(-(-window.size // (MOST_TILES - 1)))}, with every=",
        )
    kind = ColumnType("int") if window.expression is None else typed(window.expression, subject)
    if window.aggregate in ("sum", "rate", "mean", "variance", "stddev") and kind.kind not in ("int", "float"):
        raise DeclarationError(subject, f"{window.aggregate} of {kind}", "give it a number")
    view = _view(window, hop, stream, ColumnType(kind.kind, nullable=True))
    return WindowFeature(name, view, window.aggregate, window.size, window.per, _type(window, kind))


def _type(window: Window, kind: ColumnType) -> ColumnType:
    if window.aggregate == "count":
        return ColumnType("int", nullable=True)
    if window.aggregate == "sum" and kind.kind == "int":
        return ColumnType("int", nullable=True)
    if window.aggregate in ("min", "max", "first", "last"):
        return ColumnType(kind.kind, nullable=True)
    return ColumnType("float", nullable=True)


def _view(window: Window, hop: int, stream: StreamDef, kind: ColumnType) -> View:
    family = FAMILY[window.aggregate]
    text = "*" if window.expression is None else str(ibis.to_sql(window.expression.name("x"), dialect="duckdb"))
    definition = "\n".join([stream.title, ",".join(window.by), str(hop), family, kind.kind, text])
    digest = hashlib.sha256(definition.encode()).hexdigest()[:8]
    name = f"{stream.title}_by_{'_'.join(window.by)}_{duration_text(hop)}_{family}_{digest}"
    return View(name, stream.title, window.by, hop, family, window.expression, kind)
