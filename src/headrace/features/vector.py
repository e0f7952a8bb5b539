"""From a request to a feature vector, by one order of steps: one request when served, a table of them when trained.

Attributes are looked up and keys resolved in the order of `declaration.resolution`; then windows are read by those
keys; then the features are finalised. Only what the features need is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.compile.duckdb import select
from headrace.compile.scalar import compile_scalar
from headrace.declare.declaration import Declaration, Join, WindowFeature
from headrace.declare.keys import key_sql, key_text, quoted
from headrace.features.calendar import Calendar
from headrace.features.contract import OnlineStore, Reading, TileRange
from headrace.features.needs import Needs, row_columns
from headrace.features.partials import Scalar, value
from headrace.features.point_in_time import window_values
from headrace.features.query import query

_FOREVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class Served:
    """One vector as served.

    t: its instant (ms). inputs: all that was known, times in ms. values: the features by name. unknown: whether the
    entity has no event in any window.
    """

    t: int
    inputs: dict[str, Any]
    values: dict[str, Scalar]
    unknown: bool


class Vectors:
    """Feature vectors of requests, from the online store.

    clock: ms since 1970 UTC; the wall clock, or under replay that of the marks.
    """

    def __init__(self, declaration: Declaration, store: OnlineStore, clock: Callable[[], int]) -> None:
        self._needs = Needs(declaration)
        self._store = store
        self._clock = clock
        self._calendar = Calendar(declaration.calendar) if self._needs.calendar else None
        self._resolve = [
            [(name, compile_scalar({name: expression})) for name, expression in each.resolves.items()]
            for each in self._needs.rounds
        ]
        self._features = compile_scalar({feature.name: feature.expression for feature in declaration.features})

    def serve(self, requests: Sequence[Mapping[str, Scalar]]) -> list[Served]:
        """The vectors of some requests, at one instant t, in their order.

        requests: the columns of `declaration.request`; times in ms. t is the later of the clock and a
        millisecond after the newest event, or change of a table, that was read; where that is past a window's first
        hop, an attribute's life or the validity of its next version, all is read again.
        """
        t = self._clock()
        while True:
            inputs, holds, seen = self._attributes(requests, t)
            ranges, keys = self._ranges(inputs, t)
            reading = self._store.read(list(ranges), [], t)
            later = max(t, seen + 1, t if reading.newest is None else reading.newest + 1)
            holds = min([holds, *(t - t % window.view.hop + window.view.hop - 1 for window in self._needs.windows)])
            if later <= holds:
                return self._finish(later, inputs, ranges, keys, reading)
            t = later

    def _attributes(
        self, requests: Sequence[Mapping[str, Scalar]], t: int
    ) -> tuple[list[dict[str, Any]], int, int]:
        """The requests with their attributes and resolved columns; until when (ms) they hold; the newest change."""
        inputs: list[dict[str, Any]] = [dict(request) for request in requests]
        holds, seen = _FOREVER, -1
        for each, resolves in zip(self._needs.rounds, self._resolve, strict=True):
            places, wanted = [], []
            for join in each.lookups:
                empty = dict.fromkeys(row_columns(join.table))
                for known in inputs:
                    key = key_text([known[name] for name in join.on])
                    known.update(empty)
                    if key is not None:
                        places.append((join.table, known))
                        wanted.append((join.table.title, key))
            if wanted:
                reading = self._store.read([], wanted, t)
                seen = seen if reading.newest is None else max(seen, reading.newest)
                holds = holds if reading.until is None else min(holds, reading.until)
                for (table, known), row in zip(places, reading.rows, strict=True):
                    if row is None or (table.ttl is not None and t - row["_valid"] > table.ttl):
                        continue
                    known.update({table.column(name): row[name] for name in table.columns})
                    holds = holds if table.ttl is None else min(holds, row["_valid"] + table.ttl)
            for name, resolve in resolves:
                for known in inputs:
                    known[name] = resolve(known)[name]
        return inputs, holds, seen

    def _ranges(
        self, inputs: Sequence[Mapping[str, Any]], t: int
    ) -> tuple[dict[TileRange, int], list[dict[str, TileRange | None]]]:
        """Distinct ranges, each with its place in one read; and for each request the range of each window."""
        ranges: dict[TileRange, int] = {}
        keys: list[dict[str, TileRange | None]] = []
        for known in inputs:
            own: dict[str, TileRange | None] = {}
            for window in self._needs.windows:
                view = window.view
                key = key_text([known[name] for name in view.by])
                own[window.name] = None
                if key is not None:
                    wanted = TileRange(view, key, (t - window.size) // view.hop * view.hop)
                    ranges.setdefault(wanted, len(ranges))
                    own[window.name] = wanted
            keys.append(own)
        return ranges, keys

    def _finish(
        self,
        t: int,
        inputs: list[dict[str, Any]],
        ranges: Mapping[TileRange, int],
        keys: list[dict[str, TileRange | None]],
        reading: Reading,
    ) -> list[Served]:
        calendar = {} if self._calendar is None else self._calendar.at(t)
        today = {f"calendar__{name}": found for name, found in calendar.items()}
        vectors = []
        for known, own in zip(inputs, keys, strict=True):
            unknown = bool(self._needs.strangers)
            for window in self._needs.windows:
                wanted = own[window.name]
                partial = None if wanted is None else reading.partials[ranges[wanted]]
                known[window.name] = value(window, partial)
                if window.view.id in self._needs.strangers and partial is not None and partial.n:
                    unknown = False
            known.update(today)
            vectors.append(Served(t, known, self._features(known), unknown))
        return vectors


@dataclass(frozen=True, slots=True)
class Trained:
    """The vectors of examples.

    table: the features by name, a row an example, in their order. first_version_rows: by table title, for how many
    examples the first known version of a row stood in for one that is not known.
    """

    table: pa.Table
    first_version_rows: Mapping[str, int]


def vectors(
    declaration: Declaration,
    examples: pa.Table,
    streams: Mapping[str, pa.Table],
    changes: Mapping[str, pa.Table],
) -> Trained:
    """The vectors of examples as they would have been served at their t.

    examples: `t` (int64 ms) and the columns of `declaration.request`. streams: enriched records by stream title.
    changes: table changes by table title, in the order in which they arrived. The version of a row in force at t is
    the newest with `_valid < t`; before the first one, the first; deleted or older than the table's ttl, null.
    """
    needs = Needs(declaration)
    times = examples.column("t").to_numpy()
    known = examples.select(["t", *declaration.request])
    first: dict[str, int] = {}
    for each in needs.rounds:
        for join in each.lookups:
            attributes, first[join.table.title] = _as_of(known, join, changes.get(join.table.title))
            known = _beside(known, attributes)
        for name, expression in each.resolves.items():
            known = _beside(known, _selected(known, {name: expression}))
    known = _beside(known, _windows(needs.windows, known, streams, times))
    if needs.calendar:
        columns = Calendar(declaration.calendar).columns(times)
        known = _beside(known, pa.table({f"calendar__{name}": column for name, column in columns.items()}))
    table = _selected(known, {feature.name: feature.expression for feature in declaration.features})
    schema = pa.schema([(feature.name, feature.type.arrow) for feature in declaration.features])
    return Trained(table.cast(schema), first)


def _selected(record: pa.Table, expressions: Mapping[str, ir.Value]) -> pa.Table:
    return query(select(expressions, "record"), {"record": record})


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    for name in right.column_names:
        left = left.append_column(name, right.column(name))
    return left


def _as_of(known: pa.Table, join: Join, changes: pa.Table | None) -> tuple[pa.Table, int]:
    """A table's columns as they were at each row's t, and for how many rows the first version stood in."""
    table = join.table
    if changes is None or not changes.num_rows:
        nulls = {table.column(n): pa.nulls(known.num_rows, kind.arrow) for n, kind in table.columns.items()}
        return pa.table(nulls), 0
    life = "" if table.ttl is None else f"AND known.t - versions._valid <= {table.ttl}"
    columns = ", ".join(
        f"CASE WHEN NOT versions._deleted {life} THEN versions.{quoted(name)} END AS {quoted(table.column(name))}"
        for name in table.columns
    )
    sql = f"""
        WITH versions AS (
            SELECT *, CASE WHEN lag(_valid) OVER (PARTITION BY _key ORDER BY _valid) IS NULL
                THEN -1 ELSE _valid END AS _since
            FROM (
                SELECT * FROM changes
                QUALIFY row_number() OVER (PARTITION BY _key, _valid ORDER BY _arrival DESC, _place DESC) = 1
            )
        )
        SELECT {columns}, coalesce(versions._valid >= known.t, false) AS _first
        FROM (SELECT _place, t, {key_sql(join.on)} AS _key FROM known) AS known
        ASOF LEFT JOIN versions ON known._key = versions._key AND versions._since < known.t
        ORDER BY known._place
    """
    found = query(sql, {"changes": _numbered(changes), "known": _numbered(known)})
    return found.drop_columns("_first"), int(np.sum(found.column("_first").to_numpy()))


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("_place", pa.array(np.arange(table.num_rows)))


def _windows(
    windows: Sequence[WindowFeature],
    known: pa.Table,
    streams: Mapping[str, pa.Table],
    times: npt.NDArray[np.int64],
) -> pa.Table:
    """Each window's values, for the keys of each row at its t; null where a key is null, as when served."""
    found: dict[str, pa.Array] = {}
    for stream in dict.fromkeys(window.view.stream for window in windows):
        own = [window for window in windows if window.view.stream == stream]
        texts = {by: f"key_{place}" for place, by in enumerate(dict.fromkeys(window.view.by for window in own))}
        sql = ", ".join(f"{key_sql(by)} AS {name}" for by, name in texts.items())
        keys = query(f"SELECT {sql} FROM known", {"known": known})
        by_view = {window.view.id: keys.column(texts[window.view.by]).combine_chunks() for window in own}
        values = window_values(streams[stream], own, by_view, times)
        for window in own:
            column, keyed = values[window.name], by_view[window.view.id].is_valid()
            found[window.name] = pc.if_else(keyed, column, pa.scalar(None, column.type))
    return pa.table({window.name: found[window.name] for window in windows})
