"""The edge of a stream in time: what is refused by its times alone, before any check.

An edge looks at whole columns and tells which records it refuses, and why. `live` and `history` give the edges of
the two ways in which a record may come, in the order in which they decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import StreamDef
from headrace.declare.duration import duration_text
from headrace.declare.instant import LATEST, instant_text

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Edge:
    """A reason, which of the records (a raw table) it refuses, and a sentence about one of them (as a dict)."""

    reason: str
    refuses: Callable[[pa.Table], Flags]
    detail: Callable[[dict[str, Any]], str]


def live(stream: StreamDef, cut: int | None = None) -> tuple[Edge, ...]:
    """The edges of the live stream: future, then late, then (where history was brought up to `cut`, ms) covered.

    The table has `_arrival` (ms) and may have `_repaired` (bool): a repaired record is never late.
    """

    def late(table: pa.Table) -> Flags:
        refused = values(table, "_arrival") > values(table, stream.time) + stream.lateness
        return refused & ~values(table, "_repaired") if "_repaired" in table.column_names else refused

    return (
        *_range(stream),
        Edge(
            "future",
            lambda table: values(table, stream.time) > values(table, "_arrival") + stream.skew,
            lambda row: (
                f"{stream.time} lies {_between(row, stream)} after its arrival, more than a skew of "
                f"{duration_text(stream.skew)}"
            ),
        ),
        Edge(
            "late",
            late,
            lambda row: (
                f"it arrived {_between(row, stream)} after {stream.time}, more than a lateness of "
                f"{duration_text(stream.lateness)}"
            ),
        ),
        *(() if cut is None else (_before(stream, cut),)),
    )


def _before(stream: StreamDef, cut: int) -> Edge:
    return Edge(
        "covered",
        lambda table: values(table, stream.time) < cut,
        lambda row: (
            f"{stream.time} is {instant_text(row[stream.time])}, "
            f"and the live stream counts from {instant_text(cut)} on"
        ),
    )


def history(stream: StreamDef, until: int) -> tuple[Edge, ...]:
    """The edges of files that are backfilled up to `until` (ms): from there on the live stream has the records."""
    return (
        *_range(stream),
        Edge(
            "covered",
            lambda table: values(table, stream.time) >= until,
            lambda row: (
                f"{stream.time} is {instant_text(row[stream.time])}, and files count before {instant_text(until)}"
            ),
        ),
    )


def values(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column as numpy; times in ms, 0 where null."""
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0).cast(column.type))
    found: npt.NDArray[Any] = column.to_numpy()
    return found


def _range(stream: StreamDef) -> tuple[Edge, ...]:
    """Times before 1970 or after 9999, in any column."""

    def outside(name: str) -> Callable[[pa.Table], Flags]:
        return lambda table: (values(table, name) < 0) | (values(table, name) > LATEST)

    names = [stream.time, *(n for n, kind in stream.columns.items() if kind.kind == "time" and n != stream.time)]
    return tuple(
        Edge("future", outside(name), lambda row, name=name: f"{name} is {row[name]} ms, not in 1970 to 9999")  # type: ignore[misc]
        for name in names
    )


def _between(row: dict[str, Any], stream: StreamDef) -> str:
    return duration_text(abs(int(row["_arrival"]) - int(row[stream.time])))
