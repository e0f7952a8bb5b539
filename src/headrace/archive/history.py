"""The past of a view as tiles, from the archive: so a window added later has its whole history at once.

No record counts twice, whoever tiles it and when, by one rule: **the name of an epoch determines its records**.

- A record of a backfilled file belongs to the epoch of its file, `backfill-<...>`, and to no other. These epochs
  are in the topic of history, for every view: `headrace backfill` appends their tiles for the views that it knows,
  and the tile role, before it begins, for the views that are new (`listing.publish`). An epoch never changes once
  it is complete, and its tiles are absolute: appended twice they are the same.
- A record of the live stream below the vector of offsets at which a view's own epoch begins belongs to the view's
  history epoch, which the tiler asks for (`history`); from the vector on, to the view's own epoch.

An epoch that is not complete (a backfill that was killed) is listed for no view until its files are brought again.
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


def history(archive: Archive, declaration: Declaration) -> Callable[[View, Positions], pa.Table | None]:
    """What the tiler asks when a view is new: its tiles below a vector of enriched positions, columns `TILE`.

    None while the archive has not reached the vector. Backfilled records are not among them (see above).
    """
    known = archive.knowing(schemas(declaration))
    topics = Topics.of(declaration)

    def past(view: View, below: Positions) -> pa.Table | None:
        topic = topics.enriched(view.stream)
        vector = {partition: offset for (name, partition), offset in below.items() if name == topic and offset}
        if not vector:
            return TILE.empty_table()
        reached = known.position([topic])
        if any(reached.get((topic, partition), 0) < offset for partition, offset in vector.items()):
            return None
        return tiles(view, known.dataset(topic), _below(vector))

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


def epoch_tiles(view: View, rows: ds.Dataset, files: Iterable[str]) -> pa.Table:
    """The tiles (columns `TILE`) of the backfill epoch that has these files."""
    names = ", ".join(f"'{file}'" for file in files)
    return tiles(view, rows, f"{LOG_OFFSET} IS NULL AND _file IN ({names})")


def tiles(view: View, rows: ds.Dataset, where: str) -> pa.Table:
    """The tiles (columns `TILE`) of the archived records that meet a condition (SQL)."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("archived", rows)
    source = f"(SELECT * FROM archived WHERE {where})"
    found: pa.Table = connection.sql(tiles_sql(view, events_sql(view, source))).to_arrow_table()
    return found.cast(TILE)


def _below(vector: Mapping[int, int]) -> str:
    places = [
        f"({LOG_PARTITION} = {partition} AND {LOG_OFFSET} < {offset})" for partition, offset in vector.items()
    ]
    return " OR ".join(places)
