"""Tiles as DuckDB SQL: from enriched records to events of a view, from events to partials, and partials merged.

The columns of a tile, and what its slots hold in each family, are laid out in docs/architecture.md. Moments follow
Welford within a batch (DuckDB's var_pop) and Chan, Golub and LeVeque (1979) between batches, so that values far
from zero keep their precision.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from headrace.compile.duckdb import select
from headrace.declare.declaration import View
from headrace.declare.keys import key_sql, quoted

TILE: Final = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("hop", pa.int64()),
        pa.field("newest", pa.int64()),
        pa.field("n", pa.int64()),
        pa.field("a_int", pa.int64()),
        pa.field("b_int", pa.int64()),
        pa.field("a_float", pa.float64()),
        pa.field("b_float", pa.float64()),
        pa.field("a_text", pa.string()),
        pa.field("b_text", pa.string()),
        pa.field("a_at", pa.int64()),
        pa.field("b_at", pa.int64()),
        pa.field("a_id", pa.string()),
        pa.field("b_id", pa.string()),
    ]
)
"""The columns of a tile of one view and one epoch; times are ms."""

_SQL: Final = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}
_SYSTEM: Final = ("_time", "_arrival", "_file", "_partition", "_offset")
_ID: Final = "{0}.file || '/' || lpad({0}.part::VARCHAR, 5, '0') || '/' || lpad({0}.place::VARCHAR, 20, '0')"


def events_sql(view: View, source: str) -> str:
    """The events of a view, from a relation (a name, or a query in parentheses) of enriched records.

    Gives key (text; records without one are left out), hop (its start, ms), _time, _arrival, _file, _partition,
    _offset and value (NaN is null; bool as 0 or 1, time as ms; 1 where the view counts the events themselves).

    >>> import ibis
    >>> from headrace.declare.types import ColumnType
    >>> sale = ibis.table({"sku": "string", "units": "int64"}, name="sale")
    >>> view = View("v", "sale", ("sku",), 60_000, "total", sale.units, ColumnType("int"))
    >>> import duckdb
    >>> place = "61_500 AS _arrival, NULL AS _file, 0 AS _partition, 7 AS _offset"
    >>> duckdb.sql(events_sql(view, f"(SELECT 'a' AS sku, 3 AS units, 61_000 AS _time, {place})")).fetchall()
    [('a', 60000, 61000, 61500, None, 0, 7, 3)]
    """
    rows, value = _valued(view, source)
    columns = f"{key_sql(view.by)} AS key, {_hop(view)} AS hop, {', '.join(_SYSTEM)}, {value} AS value"
    known = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in view.by)  # not the text: it costs
    return f"SELECT {columns} FROM {rows} WHERE {known}"


def _valued(view: View, source: str) -> tuple[str, str]:
    """A relation of records with the view's expression, and the value as SQL over it."""
    if view.expression is None:
        return source, "1::BIGINT"
    kept = [*_SYSTEM, *(name for name in view.by if name not in _SYSTEM)]
    values = select({"_value": view.expression}, "_source", kept)
    return f"(WITH _source AS (SELECT * FROM {source}) {values})", _value(view)


def _hop(view: View) -> str:
    return f"(_time - _time % {view.hop})::BIGINT"


def _value(view: View) -> str:
    match view.type.kind:
        case "float":
            return "CASE WHEN NOT isnan(_value) THEN _value::DOUBLE END"
        case "time":
            return "epoch_ms(_value)"
        case "str":
            return "_value"
        case _:
            return "_value::BIGINT"


def tiles_sql(view: View, events: str) -> str:
    """The partials of events (a relation as `events_sql` gives it), grouped by key and hop: columns `TILE`.

    DuckDB raises where a sum of whole numbers leaves 64 bits.
    """
    return f"SELECT key, {', '.join(TILE.names[1:])} FROM ({_grouped(view, events, ['key'])})"


def record_tiles_sql(view: View, source: str) -> str:
    """The same as `tiles_sql` of `events_sql`, faster: it groups by the key's columns, then makes the key's text.

    source: as for `events_sql`.
    """
    rows, value = _valued(view, source)
    names = [f"_by_{place}" for place in range(len(view.by))]
    keys = ", ".join(f"{quoted(column)} AS {name}" for column, name in zip(view.by, names, strict=True))
    there = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in view.by)
    events = f"SELECT {keys}, {_hop(view)} AS hop, {', '.join(_SYSTEM)}, {value} AS value FROM {rows} WHERE {there}"
    columns = f"{key_sql(names)} AS key, {', '.join(TILE.names[1:])}"
    return f"SELECT {columns} FROM ({_grouped(view, events, names)})"


def _grouped(view: View, events: str, keys: list[str]) -> str:
    """Partials of events by key columns and hop."""
    by, slots = ", ".join([*keys, "hop"]), _of_events(view)
    if view.family == "ends":
        order = "{'at': _time, 'file': coalesce(_file, ''), 'part': _partition, 'place': _offset}"
        found = "FILTER (WHERE value IS NOT NULL)"
        ends = (
            f"SELECT {by}, max(_time)::BIGINT AS newest, count(value) AS n, "
            f"arg_min(value, {order}) {found} AS a, min({order}) {found} AS a_order, "
            f"arg_max(value, {order}) {found} AS b, max({order}) {found} AS b_order FROM ({events}) GROUP BY {by}"
        )
        return f"SELECT {by}, newest, n, {_columns(slots)} FROM ({ends})"
    return (
        f"SELECT {by}, max(_time)::BIGINT AS newest, count(value) AS n, {_columns(slots)} "
        f"FROM ({events}) GROUP BY {by}"
    )


def merge_sql(view: View, held: str, fresh: str) -> str:
    """Each tile of `fresh`, merged with the one of the same key and hop in `held` if there is one: columns `TILE`.

    held, fresh: relations of tiles, each with at most one tile of a key and hop. The merge is associative, up to
    the rounding of floats.
    """
    return (
        f"SELECT r.key, r.hop, greatest(l.newest, r.newest) AS newest, coalesce(l.n, 0) + r.n AS n, "
        f"{_columns(_of_partials(view))} FROM {fresh} AS r LEFT JOIN {held} AS l ON l.hop = r.hop AND l.key = r.key"
    )


def slot(view: View) -> str:
    """The ending of the columns that hold a view's values: int, float or text."""
    if view.family == "moments":
        return "float"
    return {"float": "float", "str": "text"}.get(view.type.kind, "int")


def _columns(slots: dict[str, str]) -> str:
    return ", ".join(f"({slots.get(f.name, 'NULL')})::{_SQL[f.type]} AS {f.name}" for f in list(TILE)[4:])


def _of_events(view: View) -> dict[str, str]:
    a, b = f"a_{slot(view)}", f"b_{slot(view)}"
    match view.family:
        case "total":
            return {a: "coalesce(sum(value), 0)"}
        case "extremes":
            return {a: "min(value)", b: "max(value)"}
        case "moments":
            return {a: "avg(value::DOUBLE)", b: "var_pop(value::DOUBLE) * count(value)"}
        case "ends":
            ids = {"a_id": _ID.format("a_order"), "b_id": _ID.format("b_order")}
            return {a: "a", b: "b", "a_at": "a_order.at", "b_at": "b_order.at", **ids}


def _of_partials(view: View) -> dict[str, str]:
    a, b = f"a_{slot(view)}", f"b_{slot(view)}"
    match view.family:
        case "total":
            return {a: f"coalesce(l.{a}, 0) + r.{a}"}
        case "extremes":
            return {a: f"least(l.{a}, r.{a})", b: f"greatest(l.{b}, r.{b})"}
        case "moments":
            delta, n = f"(r.{a} - l.{a})", "(l.n + r.n)"
            return {
                a: _either(f"l.{a} + {delta} * r.n / {n}", a),
                b: _either(f"l.{b} + r.{b} + {delta} * {delta} * l.n * r.n / {n}", b),
            }
        case "ends":
            return {
                name: f"CASE WHEN {_before(side)} THEN r.{name} ELSE l.{name} END"
                for side in ("a", "b")
                for name in (f"{side}_{slot(view)}", f"{side}_at", f"{side}_id")
            }


def _either(both: str, name: str) -> str:
    return f"CASE WHEN coalesce(l.n, 0) = 0 THEN r.{name} WHEN r.n = 0 THEN l.{name} ELSE {both} END"


def _before(side: str) -> str:
    """Whether the fresh end comes first (side a) or last (side b)."""
    sign = "<" if side == "a" else ">"
    at, id_ = f"{side}_at", f"{side}_id"
    tie = f"(r.{at} = l.{at} AND r.{id_} {sign} l.{id_})"
    return f"r.{at} IS NOT NULL AND (l.{at} IS NULL OR r.{at} {sign} l.{at} OR {tie})"
