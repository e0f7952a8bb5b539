"""Tiles as Flink SQL: from enriched records to a view's absolute partials, by the layout of docs/architecture.md.

What Flink SQL lacks is in the project's jar: `hr_sum` (exact, an error where it leaves 64 bits), `hr_moments`
(Welford, merged as Chan, Golub and LeVeque 1979), `hr_first` and `hr_last` (by event time, then by id).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from headrace.compile.flink import expression, overflow
from headrace.compile.tiles import TILE, slot
from headrace.declare.declaration import View
from headrace.declare.types import ColumnType

_ID: Final = (
    "COALESCE(`_file`, '') || '/' || LPAD(CAST(`_partition` AS STRING), 5, '0')"
    " || '/' || LPAD(CAST(`_offset` AS STRING), 20, '0')"
)
_TYPES: Final = {pa.string(): "STRING", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}


def tiles(view: View, columns: Mapping[str, ColumnType], source: str, epoch: str, lateness: int, bound: int) -> str:
    """The changing tiles of a view, with the columns of a topic of tiles and before them `id`, which names a tile.

    columns: of the enriched records in the relation `source`. epoch: the name of the view's epoch. A record that
    arrives later than lateness (ms) after its hop ended can only be a repaired one; the state of its hop may be
    gone by then, so it goes to an epoch of its own, `<epoch>~<n>`, n counting spans of `bound` (ms) since. Which
    it is depends on nothing but the record.
    """
    by = {f"_by_{place}": column for place, column in enumerate(view.by)}
    keys = ", ".join(f"`{column}` AS `{key}`" for key, column in by.items())
    there = " AND ".join(f"`{column}` IS NOT NULL" for column in view.by)
    hop = f"`_time` - MOD(`_time`, {view.hop})"
    closed = f"`hop` + {view.hop + lateness}"
    spans = f"CASE WHEN `_arrival` > {closed} THEN (`_arrival` - ({closed})) / {bound} + 1 ELSE 0 END"
    events = (
        f"SELECT {keys}, {hop} AS `hop`, `_time`, `_arrival`, {_ID} AS `_id`, {_value(view)} AS `value`\n"
        f"  FROM `{source}` WHERE {there}"
    )
    events = f"SELECT *, CAST({spans} AS BIGINT) AS `late` FROM (\n  {events})"
    group = ", ".join([*(f"`{key}`" for key in by), "`hop`", "`late`"])
    partials = (
        f"SELECT {group}, MAX(`_time`) AS `newest`, COUNT(`value`) AS `n`{_aggregates(view)}\n"
        f"  FROM ({events}) GROUP BY {group}"
    )
    key = " || '|' || ".join(_key_part(key, columns[column]) for key, column in by.items())
    name = f"'{epoch}' || CASE WHEN `late` > 0 THEN '~' || CAST(`late` AS STRING) ELSE '' END"
    shaped = f"SELECT {key} AS `key`, `hop`, {name} AS `epoch`, `newest`, `n`, {_slots(view)} FROM (\n  {partials})"
    rest = ", ".join(f"`{column}`" for column in TILE.names[2:])
    tile = f"'{view.id}|' || `epoch` || '|' || CAST(`hop` AS STRING) || '|' || `key`"
    return f"SELECT {tile} AS `id`, '{view.id}' AS `view`, `key`, `hop`, `epoch`, {rest} FROM (\n  {shaped})"


def _value(view: View) -> str:
    """What is aggregated: null stays out; bool as 0 or 1, time as ms."""
    if view.expression is None:
        return "CAST(1 AS BIGINT)"
    text = expression(view.expression, view.id)
    match view.type.kind:
        case "bool":
            text = f"CASE WHEN {text} THEN CAST(1 AS BIGINT) WHEN NOT {text} THEN CAST(0 AS BIGINT) END"
        case "time":
            text = f"hr_millis({text})"
        case "int":
            doubtful = overflow(view.expression, view.id)
            text = text if doubtful is None else f"hr_sure({text}, {doubtful})"
    return f"CAST({text} AS DOUBLE)" if view.family == "moments" else text


def _aggregates(view: View) -> str:
    match view.family:
        case "total":
            return f", {'hr_real_sum' if view.type.kind == 'float' else 'hr_sum'}(`value`) AS `total`"
        case "extremes":
            return ", MIN(`value`) AS `least`, MAX(`value`) AS `most`"
        case "moments":
            return ", hr_moments(`value`) AS `moments`"
        case "ends":
            return ", hr_first(`value`, `_time`, `_id`) AS `first`, hr_last(`value`, `_time`, `_id`) AS `last`"


def _slots(view: View) -> str:
    """The slots of a tile from the aggregates, null where the family has no use for one."""
    a, b = f"a_{slot(view)}", f"b_{slot(view)}"
    match view.family:
        case "total":
            found = {a: "`total`"}
        case "extremes":
            found = {a: "`least`", b: "`most`"}
        case "moments":
            found = {a: "`moments`.`mean`", b: "`moments`.`m2`"}
        case "ends":
            found = {a: "`first`.`value`", b: "`last`.`value`"}
            for side, end in (("a", "first"), ("b", "last")):
                found |= {f"{side}_at": f"`{end}`.`at`", f"{side}_id": f"`{end}`.`id`"}
    fields = list(TILE)[4:]
    return ", ".join(f"CAST({found.get(f.name, 'NULL')} AS {_TYPES[f.type]}) AS `{f.name}`" for f in fields)


def _key_part(key: str, kind: ColumnType) -> str:
    """A key column as `declare.keys.key_text` writes it."""
    if kind.kind == "bool":
        return f"CASE WHEN `{key}` THEN 'true' ELSE 'false' END"
    if kind.kind == "int":
        return f"CAST(`{key}` AS STRING)"
    return f"REPLACE(REPLACE(`{key}`, '\\', '\\\\'), '|', '\\|')"
