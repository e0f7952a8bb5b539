"""Tiles as an archive would make them: recomputed from the enriched records that are committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
from tests.parity import results
from tests.parity.engines import Engine

from headrace.compile.tiles import TILE, events_sql, tiles_sql
from headrace.declare.declaration import View
from headrace.declare.topics import Topics
from headrace.log.batches import Positions
from headrace.schema.avro import decode, nullable_schema
from headrace.stream.layouts import enriched_columns


def past(engine: Engine) -> Callable[[View, Positions], pa.Table | None]:
    """What an archive would give: the tiles of the enriched records below a vector."""

    def history(view: View, below: Positions) -> pa.Table | None:
        topic = Topics.of(engine.declaration).enriched(view.stream)
        columns = enriched_columns(engine.declaration.streams[view.stream])
        found = decode(results.batches(engine.log, topic), engine.schemas, nullable_schema(topic, columns), columns)
        table = found.table
        keep = pa.array(
            [
                offset < below.get((topic, partition), 0)
                for partition, offset in zip(
                    table.column("_log_partition").to_pylist(), table.column("_log_offset").to_pylist(), strict=True
                )
            ],
            pa.bool_(),
        )
        rows = table.filter(keep)
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("past", rows)
        tiles: pa.Table = connection.sql(tiles_sql(view, events_sql(view, "past"))).to_arrow_table()
        return tiles.cast(TILE)

    return history


def recomputed(engine: Engine) -> dict[tuple[Any, ...], dict[str, Any]]:
    """As `results.merged`, from all enriched records that are committed now."""
    found = {}
    for view in engine.declaration.views.values():
        topic = Topics.of(engine.declaration).enriched(view.stream)
        ends = {(topic, number): end for number, (_, end) in enumerate(engine.log.bounds(topic))}
        tiles = past(engine)(view, ends)
        assert tiles is not None
        for row in tiles.to_pylist():
            found[view.id, row["key"], row["hop"]] = results.combined(view, [row])
    return found
