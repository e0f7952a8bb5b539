"""Labels, when they are final, and the naive forecast that a model must beat.

A future window is the features' own kernel, at the window's end, by event time alone. (Its hop divides every t, so
that nothing is rounded.) A record that was repaired and replayed counts in the window of its event time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.compile.duckdb import select
from headrace.declare.declaration import Declaration, View, WindowFeature
from headrace.declare.keys import key_sql, quoted
from headrace.declare.label import Future, Outcome
from headrace.declare.types import ColumnType, type_of
from headrace.declare.window import FAMILY
from headrace.features.point_in_time import as_if_on_time, window_values
from headrace.features.query import query

Times = npt.NDArray[np.int64]


def mature(declaration: Declaration, times: Times, watermark: int) -> npt.NDArray[np.bool_]:
    """Whether the label of an example at each t (ms) is final.

    watermark: every partition of the label's stream has passed it: all that arrived before it is known.
    """
    return times + declaration.maturity <= watermark


def labels(declaration: Declaration, events: pa.Table, examples: pa.Table) -> pa.Array:
    """The label of each example, of type `declaration.label.type`, in their order.

    events: enriched records of the label's stream. A future window is `[t, t + horizon)`: count and sum of nothing
    are 0; mean, min and max of nothing, or of nulls, are null: the example has no label. An outcome is the value
    of the first matching event, by event time and id, in `[t, t + delay)`, else the declared silence.
    """
    definition = declaration.label.definition
    times = examples.column("t").to_numpy()
    if isinstance(definition, Future):
        return _future(declaration, definition, as_if_on_time(events), examples, times + definition.horizon)
    return _outcomes(declaration, definition, events, examples)


def naive(declaration: Declaration, events: pa.Table, examples: pa.Table) -> pa.Array:
    """A forecast without a model, float64, from what had arrived before t.

    Of a future window: the same aggregate over the window before t, `[t - horizon, t)` (seasonal naive; Hyndman and
    Athanasopoulos, Forecasting: Principles and Practice, 5.2). Of an outcome: the mean (for a condition: the share)
    of the outcomes of those of these examples that had matured by t; null where there is none.
    """
    definition = declaration.label.definition
    times = examples.column("t").to_numpy()
    if isinstance(definition, Future):
        return _future(declaration, definition, events, examples, times).cast(pa.float64())
    found = _outcomes(declaration, definition, events, examples)
    judged = found.is_valid().to_numpy(zero_copy_only=False)
    due = times[judged] + declaration.maturity
    order = np.argsort(due, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(found.drop_null().cast(pa.float64()).to_numpy()[order])])
    count = np.searchsorted(due[order], times, side="right")
    return pa.array(sums[count] / np.maximum(count, 1), pa.float64(), mask=count == 0)


def _future(
    declaration: Declaration, definition: Future, events: pa.Table, examples: pa.Table, ends: Times
) -> pa.Array:
    """The aggregate over the window of the label's length that ends before each of `ends`."""
    window = _window(declaration, definition, hop=int(np.gcd.reduce(ends, initial=definition.horizon)))
    sql = f"SELECT {key_sql(declaration.entity)} AS key FROM examples"
    keys = query(sql, {"examples": examples}).column("key").combine_chunks()
    values = window_values(events, [window], {window.view.id: keys}, ends)[window.name]
    if definition.aggregate in ("count", "sum"):
        values = pc.fill_null(values, pa.scalar(0, pa.int64()).cast(values.type))
    return pc.if_else(keys.is_null(), pa.scalar(None, values.type), values)


def _window(declaration: Declaration, definition: Future, hop: int) -> WindowFeature:
    """The label as a window feature."""
    label = declaration.label
    kind = None if definition.expression is None else type_of(definition.expression)
    view = View(
        id=f"label_{label.name}",
        stream=label.stream,
        by=declaration.entity,
        hop=hop,
        family=FAMILY[definition.aggregate],
        expression=definition.expression,
        type=replace(kind or ColumnType("int"), nullable=True),
    )
    return WindowFeature(
        label.name, view, definition.aggregate, definition.horizon, None, replace(label.type, nullable=True)
    )


def _outcomes(declaration: Declaration, definition: Outcome, events: pa.Table, examples: pa.Table) -> pa.Array:
    match = quoted(definition.match)
    kept = [definition.match, "_time", "_file", "_partition", "_offset"]
    sql = f"""
        WITH judged AS (
            SELECT _place, count(o._time) AS _n, arg_min(
                {{'value': o._value}},
                {{'at': o._time, 'file': coalesce(o._file, ''), 'part': o._partition, 'place': o._offset}}
            ) FILTER (o._time IS NOT NULL) AS _first
            FROM examples AS e
            LEFT JOIN ({select({"_value": definition.expression}, "outcomes", kept)}) AS o
            ON o.{match} = e.{match} AND o._time >= e.t AND o._time < e.t + $delay
            GROUP BY _place
        )
        SELECT CASE WHEN e.{match} IS NULL THEN NULL WHEN _n = 0 THEN $silence ELSE _first.value END AS label
        FROM judged JOIN examples AS e USING (_place) ORDER BY _place
    """
    place = pa.array(np.arange(examples.num_rows))
    judged = examples.select(["t", definition.match]).append_column("_place", place)
    parameters = {"delay": definition.delay, "silence": definition.silence}
    found = query(sql, {"outcomes": events, "examples": judged}, parameters)
    return found.column("label").combine_chunks().cast(declaration.label.type.arrow)
