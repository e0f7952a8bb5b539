"""The tiles that are open: those of one view and epoch that events may still change, held in DuckDB's memory."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from headrace.compile.tiles import TILE, events_sql, merge_sql, tiles_sql
from headrace.declare.declaration import View
from headrace.errors import RoleError

_LOADED = ", ".join(f'"{name}"' for name in TILE.names)


class OpenTiles:
    """One view's tiles whose hop starts at `since` or later, all of them.

    What is older was written and let go; `merge` tells when it is wanted back.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, view: View, number: int) -> None:
        self.view = view
        self.since = 0
        self._connection = connection
        self._held, self._fresh, self._merged = (f"_{part}_{number}" for part in ("held", "fresh", "merged"))
        self._dead = 0
        self._events = events_sql(view, "_records")
        self.load([])

    def load(self, tiles: list[pa.Table]) -> None:
        """Holds the newest tile of each key and hop instead of what was held. tiles: columns `TILE`, in order."""
        rows = pa.concat_tables(tiles) if tiles else TILE.empty_table()
        rows = rows.select(TILE.names).append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
        self._connection.register("_loaded", rows)
        newest = "QUALIFY row_number() OVER (PARTITION BY key, hop ORDER BY _row DESC) = 1"
        where = f"WHERE hop >= {self.since}"
        self._connection.execute(
            f"CREATE OR REPLACE TABLE {self._held} AS SELECT {_LOADED} FROM _loaded {where} {newest}"
        )
        self._connection.unregister("_loaded")
        self._dead = 0

    def aggregate(self) -> int | None:
        """Tiles of the records registered as `_records` alone; the oldest hop among them, None without any."""
        try:
            self._connection.execute(
                f"CREATE OR REPLACE TEMP TABLE {self._fresh} AS {tiles_sql(self.view, self._events)}"
            )
        except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
            raise self._overflow(error) from error
        oldest: Any = self._connection.execute(f"SELECT min(hop) FROM {self._fresh}").fetchall()[0]
        return None if oldest[0] is None else int(oldest[0])

    def wanted(self) -> pa.Table:
        """The keys and hops of what was aggregated and lies before `since`."""
        sql = f"SELECT key, hop FROM {self._fresh} WHERE hop < {self.since}"
        found: Any = self._connection.sql(sql).to_arrow_table()
        return found

    def recall(self, tiles: pa.Table) -> None:
        """Holds older tiles again (columns `TILE`, one a key and hop), instead of those recalled before."""
        self._connection.register("_loaded", tiles.select(TILE.names))
        self._connection.execute(f"DELETE FROM {self._held} WHERE hop < {self.since}")
        self._connection.execute(f"INSERT INTO {self._held} SELECT {_LOADED} FROM _loaded")
        self._connection.unregister("_loaded")

    def merge(self) -> pa.Table:
        """What was aggregated, merged with what is held: the absolute tiles that changed, columns `TILE`."""
        try:
            merged: Any = self._connection.sql(merge_sql(self.view, self._held, self._fresh)).to_arrow_table()
        except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
            raise self._overflow(error) from error
        return merged

    def accept(self, merged: pa.Table) -> None:
        """Holds what `merge` gave."""
        self._connection.register("_loaded", merged)
        same = f"{self._held}.hop = _loaded.hop AND {self._held}.key = _loaded.key"
        gone: Any = self._connection.execute(f"DELETE FROM {self._held} USING _loaded WHERE {same}").fetchall()[0]
        self._connection.execute(f"INSERT INTO {self._held} SELECT {_LOADED} FROM _loaded")
        self._connection.unregister("_loaded")
        self._dead += int(gone[0])

    def let_go(self, before: int) -> None:
        """Drops the tiles whose hop starts before `before` (ms). What is kept is packed anew."""
        self.since = max(before, self.since)
        self._connection.execute(
            f"CREATE OR REPLACE TABLE {self._held} AS SELECT * FROM {self._held} WHERE hop >= {self.since}"
        )
        self._dead = 0

    @property
    def worn(self) -> bool:
        """Whether so much was replaced that packing anew pays."""
        count: Any = self._connection.execute(f"SELECT count(*) FROM {self._held}").fetchall()[0]
        return self._dead > 100_000 and self._dead > 2 * int(count[0])

    def _overflow(self, error: duckdb.Error) -> RoleError:
        return RoleError(
            f"view {self.view.id}",
            f"a sum of whole numbers, or its expression, leaves 64 bits: {str(error).splitlines()[0]}",
            "sum a float, or refuse such values with a check",
        )
