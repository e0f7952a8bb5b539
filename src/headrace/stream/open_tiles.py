"""The tiles that are open: those of one view and epoch that events may still change, held in DuckDB's memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from headrace.compile.tiles import TILE, merge_sql, record_tiles_sql
from headrace.declare.declaration import View
from headrace.errors import RoleError
from headrace.stream.overflow import ERRORS, overflow_text

_WORN: Final = 1_000_000
"""So many tiles replaced, and the table is packed anew: DuckDB keeps what is deleted in parts."""


class OpenTiles:
    """One view's tiles whose hop starts at `since` or later, all of them.

    What is older was written and let go; `wanted` tells when it is needed again. All statements run on tables that
    stay, so that DuckDB plans the merge once. records: the table of the micro-batch, of enriched records.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, view: View, number: int, records: str) -> None:
        self.view = view
        self.since = 0
        self._connection = connection
        self._held, self._merge = f"_held_{number}", f"_merge_{number}"
        self._records = records
        self._replaced = 0
        with self._as_loaded(TILE.empty_table()):
            connection.execute(f"CREATE TABLE {self._held} AS FROM _loaded")
        fresh = record_tiles_sql(view, records)
        connection.execute(f"PREPARE {self._merge} AS {merge_sql(view, self._held, f'({fresh})')}")

    def load(self, tiles: list[pa.Table]) -> None:
        """Holds the newest tile of each key and hop instead of what was held. tiles: columns `TILE`, in order."""
        rows = pa.concat_tables(tiles) if tiles else TILE.empty_table()
        rows = rows.append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
        newest = "QUALIFY row_number() OVER (PARTITION BY key, hop ORDER BY _row DESC) = 1"
        with self._as_loaded(rows):
            self._connection.execute(f"DELETE FROM {self._held}")
            self._connection.execute(
                f"INSERT INTO {self._held} SELECT * EXCLUDE (_row) FROM _loaded WHERE hop >= {self.since} {newest}"
            )
        self._replaced = 0

    def merge(self) -> pa.Table:
        """The tiles of the micro-batch, merged with those held: the absolute tiles that changed, columns `TILE`."""
        try:
            merged: Any = self._connection.sql(f"EXECUTE {self._merge}").to_arrow_table()
        except ERRORS as error:
            raise RoleError(
                f"view {self.view.id}",
                overflow_text(self._connection, self.view, self._records, self._held),
                "aggregate a float (`.cast('float64')`), which makes another view with all its history, or leave "
                "the window out, and start the role again; a check keeps such values out from then on",
            ) from error
        return merged

    def wanted(self, merged: pa.Table) -> pa.Table | None:
        """Keys and hops of what was merged before `since`, to be recalled and merged again; None without any."""
        oldest = pc.min(merged.column("hop")).as_py()
        if oldest is None or oldest >= self.since:
            return None
        old: pa.Table = merged.filter(pc.field("hop") < self.since).select(["key", "hop"])
        return old

    def recall(self, tiles: pa.Table) -> None:
        """Holds older tiles again (columns `TILE`, one a key and hop), instead of those recalled before."""
        self._connection.execute(f"DELETE FROM {self._held} WHERE hop < {self.since}")
        with self._as_loaded(tiles.select(TILE.names)):
            self._connection.execute(f"INSERT INTO {self._held} FROM _loaded")

    def accept(self, merged: pa.Table, since: int) -> None:
        """Holds what `merge` gave, and lets go what starts before `since` (ms)."""
        if since > self.since:
            self._connection.execute(f"DELETE FROM {self._held} WHERE hop < {since}")
            merged = merged.filter(pc.field("hop") >= since)
            self.since = since
        same = f"{self._held}.hop = _loaded.hop AND {self._held}.key = _loaded.key"
        with self._as_loaded(merged):
            self._connection.execute(f"DELETE FROM {self._held} USING _loaded WHERE {same}")
            self._connection.execute(f"INSERT INTO {self._held} FROM _loaded")
        self._replaced += merged.num_rows
        if self._replaced > _WORN:
            self.load([self.held()])

    def held(self) -> pa.Table:
        """The tiles held, columns `TILE`."""
        found: Any = self._connection.sql(f"FROM {self._held}").to_arrow_table()
        return found

    @contextmanager
    def _as_loaded(self, rows: pa.Table) -> Iterator[None]:
        self._connection.register("_loaded", rows)
        yield
        self._connection.unregister("_loaded")
