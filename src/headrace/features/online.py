"""The online role's sink: tiles and table changes from the log into the online store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.declare.retention import reach
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.errors import LogError
from headrace.features.contract import OnlineStore
from headrace.log.batches import Batch, Mark, Positions
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.layouts import TILES, change_columns


class OnlineSink:
    """Applies batches to an online store, and drops tiles that no window reaches any more.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.declare.load import read_project
    >>> from headrace.features.sqlite import SqliteStore
    >>> from headrace.schema.folder import FolderSchemas
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = SqliteStore(folder / "online.sqlite")
    >>> sink = OnlineSink(read_project(Path("tests/projects/fraud.py")), FolderSchemas(folder), store)
    >>> sink.topics
    ['fraud.tiles', 'fraud.tiles.history', 'fraud.table.merchant']
    >>> store.close()
    """

    def __init__(self, declaration: Declaration, schemas: Schemas, store: OnlineStore) -> None:
        topics = Topics.of(declaration)
        self._schemas = schemas
        self._store = store
        self._tiles = topics.tiles, topics.history
        self._tables = {topics.table(title): title for title in declaration.tables}
        self._columns: dict[str, Mapping[str, ColumnType]] = dict.fromkeys(self._tiles, TILES)
        for title, table in declaration.tables.items():
            self._columns[topics.table(title)] = change_columns(table)
        self._reach = reach(declaration)
        self._expired: dict[str, int] = {}
        self._clock: int | None = None

    @property
    def topics(self) -> list[str]:
        return list(self._columns)

    def position(self) -> Positions:
        return self._store.position()

    def mark(self) -> int | None:
        return self._store.mark()

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        by_topic: dict[str, list[Batch]] = defaultdict(list)
        for batch in batches:
            if not isinstance(batch.content, Mark):
                by_topic[batch.topic].append(batch)
        since = self._store.position()
        tables = {topic: self._decoded(topic, found, since) for topic, found in by_topic.items()}
        tiles = [tables[topic] for topic in self._tiles if topic in tables]
        changes = {title: tables[topic] for topic, title in self._tables.items() if topic in tables}
        self._store.apply(pa.concat_tables(tiles) if tiles else None, changes, positions, mark)
        self._tell(tiles, mark)
        self._expire()

    def _decoded(self, topic: str, batches: list[Batch], since: Positions) -> pa.Table:
        columns = self._columns[topic]
        own = {place: offset for place, offset in since.items() if place[0] == topic}
        found = decode(batches, self._schemas, nullable_schema(topic, columns), columns, own)
        if found.undecodable.num_rows:
            first = found.undecodable.slice(0, 1).to_pylist()[0]
            raise LogError(
                f"topic {topic}, partition {first['_partition']}, offset {first['_offset']}",
                f"it cannot be applied to the online store: {first['reason']}",
                "see that only Headrace's own roles write to this topic",
            )
        return found.table.select(list(columns))

    def _tell(self, tiles: Sequence[pa.Table], mark: int | None) -> None:
        """The clock is that of the data: the mark, or the newest event time seen."""
        times = [self._clock, mark, *(pc.max(table["newest"]).as_py() for table in tiles)]
        self._clock = max((time for time in times if time is not None), default=None)

    def _expire(self) -> None:
        """Drops a view's old tiles, each time when a quarter of what is kept of it has gone by."""
        if self._clock is None:
            return
        due = {view: self._clock - reach for view, reach in self._reach.items()}
        due = {
            view: before
            for view, before in due.items()
            if before - self._expired.setdefault(view, before) >= self._reach[view] // 4
        }
        if due:
            self._store.expire(due)
            self._expired |= due
