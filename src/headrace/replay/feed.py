"""A feed: a stream's recorded events in the order of their arrival, cut into steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from headrace.compile.duckdb import TYPES
from headrace.declare.declaration import StreamDef
from headrace.declare.keys import quoted
from headrace.errors import SourceError

ARRIVAL = "arrival"
"""The column of a recorded file that says when each event arrived; without it, an event arrives when it happens."""


class Feed:
    """Recorded events of one stream, by arrival.

    table: the stream's columns. arrivals: int64 ms, ascending.
    """

    def __init__(self, stream: StreamDef, table: pa.Table, arrivals: np.ndarray) -> None:
        order = np.argsort(arrivals, kind="stable")
        self.stream = stream
        self._arrivals = arrivals[order]
        self._table = table.take(pa.array(order)).combine_chunks()

    @classmethod
    def read(cls, stream: StreamDef, files: Sequence[Path]) -> Feed:
        """Reads Parquet files that hold the stream's columns (times are UTC), and perhaps `arrival`."""
        subject = f"feed of {stream.title}"
        names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            try:
                there = connection.execute(f"DESCRIBE SELECT * FROM read_parquet([{names}])").fetchall()
            except duckdb.Error as error:
                raise SourceError(subject, _first_line(error), "name Parquet files that exist") from error
            given = {row[0] for row in there}
            missing = set(stream.columns) - given
            if missing:
                raise SourceError(
                    subject, f"no column {', '.join(sorted(missing))} in the files", "add it to the files"
                )
            columns = ", ".join(_typed(name, kind.kind) for name, kind in stream.columns.items())
            source = ARRIVAL if ARRIVAL in given else stream.time
            query = f"SELECT {columns}, epoch_ms({quoted(source)}::TIMESTAMP) AS _at FROM read_parquet([{names}])"
            try:
                table: pa.Table = connection.sql(query).to_arrow_table()
            except duckdb.Error as error:
                remedy = "write the columns in the types that the stream declares"
                raise SourceError(subject, _first_line(error), remedy) from error
        arrivals = table.column("_at")
        if arrivals.null_count:
            raise SourceError(
                subject, f"{source} is null in {arrivals.null_count} rows", "say of each event when it arrived"
            )
        return cls(stream, table.drop_columns(["_at"]), arrivals.to_numpy())

    def between(self, since: int, until: int) -> tuple[pa.Table, np.ndarray]:
        """Events with `since <= arrival < until`, and their arrivals."""
        low, high = np.searchsorted(self._arrivals, [since, until], side="left")
        return self._table.slice(low, high - low), self._arrivals[low:high]

    def count(self, since: int, until: int) -> int:
        low, high = np.searchsorted(self._arrivals, [since, until], side="left")
        return int(high - low)


def _typed(name: str, kind: str) -> str:
    cast = f"CAST({quoted(name)} AS {TYPES[kind]})"
    return f"{cast}::TIMESTAMP_MS AS {quoted(name)}" if kind == "time" else f"{cast} AS {quoted(name)}"


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
