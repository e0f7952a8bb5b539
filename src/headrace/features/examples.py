"""Where examples are drawn: at the points of a grid for each active entity, or at each event of a stream.

An entity is active at t when an event of its stream had arrived before t (`_arrival < t`) and happened at
`t - active` or later. Training draws every point of the grid from the archive, live serving draws one point; both
are one query.

At each event of a stream t is the event's `_arrival`: the instant at which it could first be scored. Values are as
served then, from events with `_time < t` that had arrived before t. So neither the event itself nor one that
arrived in the same millisecond is ever in its history. (A repaired dead letter is an example when it was replayed.)
"""

from __future__ import annotations

import pyarrow as pa

from headrace.declare.declaration import Declaration
from headrace.declare.keys import quoted
from headrace.declare.label import Grid
from headrace.errors import FeatureError
from headrace.features.query import query

ID = ("_file", "_partition", "_offset")
"""The columns that, for an example at an event, tell which."""


def draw_examples(declaration: Declaration, events: pa.Table, until: int) -> pa.Table:
    """Every example up to and including `until` (ms), ordered by t.

    events: the enriched records of `declaration.example_stream`. Columns: `t` (int64 ms), those of
    `declaration.request`, and for examples at events those of `ID`.
    """
    grid = declaration.label.examples
    if not isinstance(grid, Grid):
        return _each(declaration, events, until)
    return _active(declaration, events, grid, since=0, until=until)


def active_entities(declaration: Declaration, events: pa.Table, t: int) -> pa.Table:
    """The entities that are active at t (ms), on the grid or not: the entity's columns, in order.

    FeatureError where examples are not drawn on a grid.
    """
    grid = declaration.label.examples
    if not isinstance(grid, Grid):
        raise FeatureError(
            f"label {declaration.label.name}",
            "its examples are the events of a stream, so nothing is 'active'",
            "declare examples=grid(...)",
        )
    at_once = Grid(every=1, active=grid.active, offset=0)
    return _active(declaration, events, at_once, since=t, until=t).drop_columns("t")


def _active(declaration: Declaration, events: pa.Table, grid: Grid, since: int, until: int) -> pa.Table:
    """The points of a grid in [since, until] at which each entity is active.

    An event makes its entity active at `_arrival < t <= _time + active`: a range of points. Most events of an
    entity share their range, so distinct ranges are few. (No division here is of a negative, which would truncate.)
    """
    keys = ", ".join(quoted(name) for name in declaration.entity)
    known = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in declaration.entity)
    sql = f"""
        WITH ranges AS (
            SELECT DISTINCT {keys},
                (greatest(_arrival, $since - 1) + $every - $offset) // $every AS _low,
                (least(_time + $active, $until) + $every - $offset) // $every AS _high
            FROM events WHERE {known}
        )
        SELECT DISTINCT _point * $every + $offset AS t, {keys}
        FROM (SELECT {keys}, unnest(range(_low, _high)) AS _point FROM ranges WHERE _low < _high)
        ORDER BY ALL
    """
    parameters = {
        "every": grid.every,
        "offset": grid.offset % grid.every,
        "active": grid.active,
        "since": since,
        "until": until,
    }
    return query(sql, {"events": events.select([*declaration.entity, "_time", "_arrival"])}, parameters)


def _each(declaration: Declaration, events: pa.Table, until: int) -> pa.Table:
    columns = ", ".join(quoted(name) for name in (*declaration.request, *ID))
    sql = f"""
        SELECT _arrival AS t, {columns} FROM events WHERE _arrival <= $until
        ORDER BY t, coalesce(_file, ''), _partition, _offset
    """
    return query(sql, {"events": events}, {"until": until})
