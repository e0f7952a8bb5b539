"""Enrichment as a function from tables to tables: edges in time, checks, joins, derived columns.

Used by the enrich role and, with other edges, by the backfill of history: no record is judged in two ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from headrace.compile.duckdb import select
from headrace.declare.declaration import Check, Join, StreamDef
from headrace.declare.keys import quoted
from headrace.declare.types import ColumnType
from headrace.stream.edges import Edge, Flags, values
from headrace.stream.layouts import enriched_columns

BEYOND: Final = "it leaves 64 bits"
"""Of an expression on whole numbers that cannot be computed."""
DEAD: Final = pa.schema(
    [
        pa.field("_row", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Enriched:
    """What became of a table of raw records.

    table: the records that passed, in their order: the columns of `enriched_columns`, and `_row` (the place in the
    raw table, from 0). dead: the others, in their order, of schema `DEAD`.
    """

    table: pa.Table
    dead: pa.Table


class Enrichment:
    """One stream's checks and joins, compiled once.

    edges: as `stream.edges` gives them.

    >>> import ibis
    >>> from headrace.declare.declaration import Check, Derived
    >>> from headrace.stream.edges import live
    >>> sale = ibis.table({"sku": "string", "units": "int64"}, "record")
    >>> columns = {"sku": ColumnType("str"), "units": ColumnType("int"), "at": ColumnType("time")}
    >>> twice = Derived("twice", sale.units * 2, ColumnType("int"))
    >>> check = Check("units", sale.units > 0)
    >>> stream = StreamDef("sale", "shop.sales", ("sku",), "at", 1_000, 0, columns, (check,), (), (twice,))
    >>> raw = pa.table({"sku": ["a", "b", "c"], "units": [1, -1, -1], "at": pa.array([500] * 3, pa.timestamp("ms")),
    ...                 "_partition": [0, 0, 0], "_offset": [7, 8, 9], "_arrival": [600, 600, 2_000]})
    >>> found = Enrichment(stream, live(stream)).apply(raw, {})
    >>> found.table.select(["sku", "twice", "_time", "_offset"]).to_pylist()
    [{'sku': 'a', 'twice': 2, '_time': 500, '_offset': 7}]
    >>> found.dead.select(["_row", "reason"]).to_pylist()
    [{'_row': 1, 'reason': 'check:units'}, {'_row': 2, 'reason': 'late'}]
    """

    def __init__(self, stream: StreamDef, edges: Sequence[Edge]) -> None:
        self._stream = stream
        self._edges = tuple(edges)
        self._checks = {f"_check_{place}": check for place, check in enumerate(stream.checks)}
        self._derived = {f"_derived_{place}": column for place, column in enumerate(stream.derived)}
        self._columns = enriched_columns(stream)
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")
        expressions = {name: check.expression for name, check in self._checks.items()}
        self._sql = self._query(expressions | {name: column.expression for name, column in self._derived.items()})

    def apply(self, raw: pa.Table, lookups: Mapping[str, pa.Table]) -> Enriched:
        """Judges and joins records.

        raw: the stream's columns, `_partition`, `_offset`, `_arrival` (ms), and where it applies `_file` (text) and
        `_repaired` (bool). lookups: for each joined table's title its rows, one a key, with the columns declared; a
        row that is missing gives nulls.
        """
        rows = raw.append_column("_row", pa.array(np.arange(raw.num_rows)))
        dead: list[tuple[int, str, str]] = []
        good = np.ones(raw.num_rows, np.bool_)
        for edge in self._edges:
            refused = good & edge.refuses(raw)
            if refused.any():
                dead += self._refused(rows, refused, edge)
                good &= ~refused
        if not good.all():
            rows = rows.filter(pa.array(good))
        for title, table in lookups.items():
            self._connection.register(f"_lookup_{title}", table)
        parts = []
        for part, found in self._judged(rows):
            parts.append(part)
            dead += found
        dead.sort()
        table = pa.concat_tables(parts) if len(parts) != 1 else parts[0]
        columns: list[Any] = [list(column) for column in zip(*dead, strict=True)] or [[], [], []]
        return Enriched(table, pa.table(columns, schema=DEAD))

    def close(self) -> None:
        """Gives back its memory."""
        self._connection.close()

    def _refused(self, rows: pa.Table, refused: Flags, edge: Edge) -> Iterator[tuple[int, str, str]]:
        wanted = list({*self._times(), "_arrival", "_row"})
        numbers = {name: values(rows, name)[refused].tolist() for name in wanted}
        for row in zip(*numbers.values(), strict=True):
            record = dict(zip(numbers, row, strict=True))
            yield record["_row"], edge.reason, edge.detail(record)

    def _times(self) -> list[str]:
        return [name for name, kind in self._stream.columns.items() if kind.kind == "time"]

    def _judged(self, rows: pa.Table) -> Iterator[tuple[pa.Table, list[tuple[int, str, str]]]]:
        """Checked and joined; where an expression cannot be computed, the halves, down to the record."""
        try:
            found = self._run(self._sql, rows)
        except (duckdb.OutOfRangeException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
            if rows.num_rows == 1:
                yield self._shaped(rows.slice(0, 0), None), [self._blamed(rows, str(error))]
                return
            middle = rows.num_rows // 2
            yield from self._judged(rows.slice(0, middle))
            yield from self._judged(rows.slice(middle))
            return
        good = np.ones(rows.num_rows, np.bool_)
        dead = []
        for name, check in self._checks.items():
            passes = values(found, name)
            for row in np.flatnonzero(good & ~passes).tolist():
                why = _failed(check, found.column(name)[row])
                dead.append((int(values(rows, "_row")[row]), f"check:{check.name}", why))
            good &= passes
        if not good.all():
            rows, found = rows.filter(pa.array(good)), found.filter(pa.array(good))
        yield self._shaped(rows, found), dead

    def _blamed(self, row: pa.Table, error: str) -> tuple[int, str, str]:
        """What a record dies of that has an expression which cannot be computed: the first, in declared order."""
        place = int(values(row, "_row")[0])
        for name, check in self._checks.items():
            try:
                found = self._run(self._query({name: check.expression}), row)
            except duckdb.Error as cause:
                return place, f"check:{check.name}", _told(cause)
            if not values(found, name)[0]:
                return place, f"check:{check.name}", _failed(check, found.column(name)[0])
        for name, column in self._derived.items():
            try:
                self._run(self._query({name: column.expression}), row)
            except duckdb.Error as cause:
                return place, f"check:{column.name}", _told(cause)
        raise AssertionError(f"each expression alone can be computed, and all together not: {error}")

    def _run(self, sql: str, rows: pa.Table) -> pa.Table:
        """The query's columns, in the order of the rows."""
        self._connection.register("_raw", rows)
        found: Any = self._connection.sql(sql).to_arrow_table()
        order = found.column("_row").to_numpy()
        if np.any(order[1:] < order[:-1]):
            found = found.take(pa.array(np.argsort(order)))
        return found

    def _query(self, expressions: Mapping[str, Any]) -> str:
        joins = [self._join(join) for join in self._stream.joins]
        columns = [f"r.{quoted(name)}" for name in self._stream.columns]
        for join in self._stream.joins:
            table = join.table
            columns += [
                f"{quoted('_lookup_' + table.title)}.{quoted(name)} AS {quoted(table.column(name))}"
                for name in table.columns
            ]
        joined = f"SELECT r._row, {', '.join(columns)} FROM _raw AS r {' '.join(joins)}"
        return f"WITH _joined AS ({joined}) {select(dict(expressions), '_joined', ['_row'])}"

    def _join(self, join: Join) -> str:
        name = quoted(f"_lookup_{join.table.title}")
        on = [
            f"r.{quoted(column)} = {name}.{quoted(key)}"
            for column, key in zip(join.on, join.table.key, strict=True)
        ]
        return f"LEFT JOIN {name} ON {' AND '.join(on)}"

    def _shaped(self, rows: pa.Table, found: pa.Table | None) -> pa.Table:
        """Enriched records of raw ones and what the query found for them."""
        columns: dict[str, Any] = {name: rows.column(name) for name in self._stream.columns}
        for name, column in self._derived.items():
            columns[column.name] = [] if found is None else found.column(name)
        arrivals = values(rows, "_arrival")
        columns["_time"] = pa.array(np.minimum(values(rows, self._stream.time), arrivals), pa.int64())
        columns["_arrival"] = pa.array(arrivals, pa.int64())
        given = "_file" in rows.column_names
        columns["_file"] = rows.column("_file") if given else pa.nulls(rows.num_rows, pa.string())
        columns["_partition"], columns["_offset"] = rows.column("_partition"), rows.column("_offset")
        table = {name: _typed(columns[name], kind) for name, kind in self._columns.items()}
        return pa.table(table | {"_row": rows.column("_row")})


def _typed(column: Any, kind: ColumnType) -> Any:
    if isinstance(column, list):
        return pa.array(column, kind.arrow)
    return column if column.type == kind.arrow else column.cast(kind.arrow)


def _failed(check: Check, outcome: Any) -> str:
    return f"the rule {check.name} is {'false' if outcome.is_valid else 'null'}"


def _told(error: duckdb.Error) -> str:
    """In words that do not depend on the engine, where it is an overflow."""
    return BEYOND if isinstance(error, duckdb.OutOfRangeException) else str(error).splitlines()[0]
