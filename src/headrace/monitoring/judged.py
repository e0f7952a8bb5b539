"""Judging: predictions meet their labels when these are due, that is final.

A prediction at t is due at t + horizon + lateness of the label's stream.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from headrace.declare.declaration import Declaration
from headrace.declare.label import Future
from headrace.features.labels import labels, mature, naive

Events = Callable[[ds.Expression], pa.Table]
"""Reads the archived enriched records of the label's stream that meet a condition."""


def judge_due(declaration: Declaration, made: pa.Table, events: Events, watermark: int) -> pa.Table:
    """The predictions of `made` whose labels are final at the watermark (ms), with `label` and `naive`.

    made: columns of the predictions topic. naive: the last window's value for labels over a future window, null for
    outcomes. Predictions whose label is null (a mean over no event) are left out.
    """
    times = made.column("_t").to_numpy()
    due = made.filter(pa.array(mature(declaration, times, watermark)))
    if not due.num_rows:
        return _labelled(due, pa.nulls(0, pa.float64()), pa.nulls(0, pa.float64()))
    examples = due.append_column("t", due.column("_t"))
    bounds = pc.min_max(due.column("_t"))
    first, last, horizon = bounds["min"].as_py(), bounds["max"].as_py(), declaration.label.horizon
    recent = events((pc.field("_time") >= first - horizon) & (pc.field("_time") < last + horizon))
    label = labels(declaration, recent, examples).cast(pa.float64())
    forecast = (
        naive(declaration, recent, examples)
        if isinstance(declaration.label.definition, Future)
        else pa.nulls(due.num_rows, pa.float64())
    )
    return _labelled(due, label, forecast)


def _labelled(due: pa.Table, label: pa.Array, forecast: pa.Array) -> pa.Table:
    table = due.append_column("label", label).append_column("naive", forecast)
    return table.filter(pc.field("label").is_valid())


def within(table: pa.Table, after: int, until: int, shift: int = 0) -> pa.Table:
    """The rows with `after < _t + shift <= until`, ms."""
    times = table.column("_t").to_numpy() + shift
    return table.filter(pa.array((times > after) & (times <= until) & np.ones(len(times), bool)))
