"""The past of a view as tiles, from the archive: so a window added later has its whole history at once.

No record counts twice, whoever tiles it and when, by one rule: **the name of an epoch determines its records**.

- A record of a backfilled file is in the epoch of its file, `backfill-<...>`, and in no other.
- A record of the live stream below the vector of offsets where a view's own epoch begins is in the view's history
  epoch, which the tiler names (here: `epoch` is null); from the vector on it is in the view's own epoch.

`headrace backfill` writes the tiles of its epochs for the views that it knows, and `history` gives those of all
complete backfill epochs for a new view. Both may tile the same epoch of the same view: a tile is known by (view,
key, hop, epoch) and is absolute, so the second one replaces the first, and is the same. An epoch is not listed
before it is complete. A view that a backfill did not know (it ran with an older declaration, while the view was
being added) gets its tiles when the same backfill is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from headrace.archive.columns import LOG_OFFSET, LOG_PARTITION, schemas
from headrace.archive.delta import Archive
from headrace.archive.manifest import BackfillEpoch, complete, epochs
from headrace.compile.tiles import TILE, events_sql, tiles_sql
from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.log.batches import Positions

HISTORY = pa.schema([pa.field("epoch", pa.string()), *TILE])
"""Tiles of one view: `epoch` (null: the view's own history epoch), then the columns of a tile."""


def history(archive: Archive, declaration: Declaration) -> Callable[[View, Positions], pa.Table | None]:
    """What the tiler asks when a view is new: its tiles (columns `HISTORY`) below a vector of enriched positions.

    None while the archive has not reached the vector. For each backfill epoch there is at least one row, also where
    no record has a key: a row whose `key` is null lists it.
    """
    known = archive.knowing(schemas(declaration))
    topics = Topics.of(declaration)

    def past(view: View, below: Positions) -> pa.Table | None:
        topic = topics.enriched(view.stream)
        vector = {partition: offset for (name, partition), offset in below.items() if name == topic and offset}
        reached = known.position([topic])
        if any(reached.get((topic, partition), 0) < offset for partition, offset in vector.items()):
            return None
        version = known.version(topic)
        rows = known.dataset(topic, version)
        tables = [named(tiles(view, rows, _below(vector)), None)] if vector else []
        by_epoch = backfilled(known, topic, rows, version)
        tables += [epoch_tiles(view, rows, epoch, files) for epoch, files in sorted(by_epoch.items())]
        return pa.concat_tables([HISTORY.empty_table(), *tables])

    return past


def backfilled(
    archive: Archive, topic: str, rows: ds.Dataset, version: int | None
) -> dict[BackfillEpoch, list[str]]:
    """The files of each complete backfill epoch among a topic's rows (of a version of its table)."""
    connection = duckdb.connect()
    connection.register("archived", rows)
    found = connection.sql("SELECT DISTINCT _file FROM archived WHERE _log_offset IS NULL AND _file IS NOT NULL")
    by_file = epochs(archive, topic, [file for (file,) in found.fetchall()], version)
    done = complete(archive, topic, by_file.values(), version)
    return {epoch: sorted(file for file, other in by_file.items() if other == epoch) for epoch in done}


def epoch_tiles(view: View, rows: ds.Dataset, epoch: BackfillEpoch, files: Iterable[str]) -> pa.Table:
    """The tiles of one backfill epoch (columns `HISTORY`), and last the row that lists it."""
    names = ", ".join(f"'{file}'" for file in files)
    where = f"_log_offset IS NULL AND _file IN ({names})" if names else "false"
    found = named(tiles(view, rows, where), epoch.name)
    return pa.concat_tables([found, pa.Table.from_pylist([{"epoch": epoch.name}], HISTORY)])


def tiles(view: View, rows: ds.Dataset, where: str) -> pa.Table:
    """The tiles (columns `TILE`) of the archived records that meet a condition (SQL)."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("archived", rows)
    source = f"(SELECT * FROM archived WHERE {where})"
    found: pa.Table = connection.sql(tiles_sql(view, events_sql(view, source))).to_arrow_table()
    return found.cast(TILE)


def named(found: pa.Table, epoch: str | None) -> pa.Table:
    """Tiles of one view with the name of their epoch: columns `HISTORY`."""
    return found.add_column(0, HISTORY.field("epoch"), pa.array([epoch] * len(found), pa.string()))


def _below(vector: Mapping[int, int]) -> str:
    places = [
        f"({LOG_PARTITION} = {partition} AND {LOG_OFFSET} < {offset})" for partition, offset in vector.items()
    ]
    return " OR ".join(places)
