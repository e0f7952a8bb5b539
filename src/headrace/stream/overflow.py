"""Where a view's whole numbers leave 64 bits: which key and hop, so that someone can find the record."""

from __future__ import annotations

from typing import Final

import duckdb

from headrace.compile.kinds import INT_MAX, INT_MIN
from headrace.compile.tiles import events_sql
from headrace.declare.declaration import View
from headrace.declare.instant import instant_text
from headrace.declare.keys import key_sql

ERRORS: Final = (duckdb.OutOfRangeException, duckdb.ConversionException)


def overflow_text(connection: duckdb.DuckDBPyConnection, view: View, records: str, held: str) -> str:
    """What leaves 64 bits when records are merged with tiles: the sum, or the expression.

    records: a table of enriched records, held: one of tiles (columns `compile.tiles.TILE`).
    """
    try:
        found = connection.execute(_sums(view, records, held)).fetchone()
        what = "the sum"
    except ERRORS:
        found = connection.execute(_place(view, records, _row(connection, view, records))).fetchone()
        what = "the expression"
    if found is None:
        return "a whole number leaves 64 bits"
    key, hop = found
    return f"{what} of key {key!r} in the hop from {instant_text(hop)} on leaves 64 bits"


def _sums(view: View, records: str, held: str) -> str:
    sums = f"SELECT key, hop, sum(value::HUGEINT) AS total FROM ({events_sql(view, records)}) GROUP BY key, hop"
    total = "(r.total + coalesce(l.a_int, 0)::HUGEINT)" if view.family == "total" else "0"
    return (
        f"SELECT r.key, r.hop FROM ({sums}) AS r LEFT JOIN {held} AS l ON l.key = r.key AND l.hop = r.hop "
        f"WHERE {total} NOT BETWEEN {INT_MIN}::HUGEINT AND {INT_MAX}::HUGEINT ORDER BY r.hop, r.key LIMIT 1"
    )


def _place(view: View, records: str, row: int) -> str:
    hop = f"_time - _time % {view.hop}"
    return f"SELECT {key_sql(view.by)}, {hop} FROM {records} WHERE rowid = {row}"


def _row(connection: duckdb.DuckDBPyConnection, view: View, records: str) -> int:
    """The first record whose expression cannot be computed."""
    found = connection.execute(f"SELECT min(rowid), max(rowid) FROM {records}").fetchone()
    low, high = found if found is not None else (0, 0)
    while low < high:
        middle = (low + high) // 2
        part = f"(SELECT * FROM {records} WHERE rowid BETWEEN {low} AND {middle})"
        try:
            connection.execute(f"SELECT max(value) FROM ({events_sql(view, part)})").fetchone()  # needs each value
        except ERRORS:
            high = middle
        else:
            low = middle + 1
    return int(low)
