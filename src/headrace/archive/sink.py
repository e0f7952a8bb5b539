"""The archiver's sink: enriched records, table changes and predictions from the log into the archive.

Each topic's rows are committed with that topic's own positions; the sink's position is their union. What was read
twice (after a kill between the commits of two topics) is known by its offset and left out.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa

from headrace.archive.columns import LOG_OFFSET, LOG_PARTITION, Columns, archived, arrow
from headrace.archive.delta import Archive
from headrace.archive.progress import Progress
from headrace.declare.declaration import Declaration
from headrace.errors import LogError
from headrace.log.batches import Batch, Mark, Partition, Positions
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas


class ArchiveSink:
    """Gathers rows, and commits them when they are many, when a mark has passed, or when asked to.

    columns: of each topic. rows: so many gathered rows are committed. compact: after so many commits of a topic its
    small files are made few.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.archive.delta import Archive
    >>> from headrace.declare.types import ColumnType
    >>> from headrace.schema.avro import encode_block
    >>> from headrace.schema.folder import FolderSchemas
    >>> schemas, columns = FolderSchemas(Path(tempfile.mkdtemp())), {"units": ColumnType("int")}
    >>> known = schemas.register("sales-value", nullable_schema("sales", columns))
    >>> block = encode_block(pa.table({"units": [5, 6]}), known.id, arrival=0)
    >>> sink = ArchiveSink(Archive(tempfile.mkdtemp()), schemas, {"sales": columns})
    >>> sink.apply([Batch("sales", 0, 0, block)], {("sales", 0): 2}, mark=None)
    >>> sink.flush()
    >>> sink.position()
    {('sales', 0): 2}
    """

    def __init__(
        self,
        archive: Archive,
        schemas: Schemas,
        columns: Mapping[str, Columns],
        rows: int = 200_000,
        compact: int = 200,
    ) -> None:
        self._archive = archive
        self._schemas = schemas
        self._columns = dict(columns)
        self._rows = rows
        self._compact = compact
        self._commits: dict[str, int] = defaultdict(int)
        for topic, found in self._columns.items():
            archive.create(topic, arrow(found))
        self._begin()

    @classmethod
    def of(cls, declaration: Declaration, schemas: Schemas, archive: Archive) -> ArchiveSink:
        """The sink of all topics of a project that are archived."""
        return cls(archive, schemas, archived(declaration))

    @property
    def topics(self) -> list[str]:
        return list(self._columns)

    def _begin(self) -> None:
        """Forgets what was gathered: what is in the archive counts."""
        progress = self._archive.progress()
        self._done = progress
        self._mark = progress.mark
        self._positions: dict[Partition, int] = dict(progress.positions)
        self._taken: dict[Partition, int] = {}
        for topic in self._columns:
            self._taken.update(self._archive.stored(topic))
        self._gathered: dict[str, list[pa.Table]] = defaultdict(list)
        self._since: float | None = None

    def position(self) -> Positions:
        """Where to read on. Some of what follows may be in the archive already; it is left out when it comes."""
        return self._done.positions

    def mark(self) -> int | None:
        return self._done.mark

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        """Gathers the batches' rows; commits when a mark has passed or the rows are many.

        A mark counts as passed (`mark`) only when all that stands before it is in the archive.
        """
        try:
            self._gather(batches)
            self._positions.update(positions)
            passed = mark is not None and (self._mark is None or mark > self._mark)
            if passed:
                self._mark = mark
            if passed or sum(len(table) for tables in self._gathered.values() for table in tables) >= self._rows:
                self.flush()
        except BaseException:  # also an interrupt; it is raised again
            self._begin()  # what is in the archive counts, whatever went wrong
            raise

    def flush(self) -> None:
        """Commits what was gathered; nothing where nothing is new."""
        for topic, tables in self._gathered.items():
            table = pa.concat_tables(tables)
            if len(table):
                self._archive.append(topic, table, self._positions, self._mark)
                self._commits[topic] += 1
        self._gathered.clear()
        self._since = None
        progress = Progress(dict(self._positions), self._mark)
        if progress != self._done:
            self._archive.remember(progress)
            self._done = progress
        for topic, commits in self._commits.items():
            if commits >= self._compact:
                self._archive.compact([topic])
                self._commits[topic] = 0

    def settle(self, seconds: float) -> None:
        """Commits what has waited for so long: a live archiver calls it between its steps."""
        if self._since is not None and time.monotonic() - self._since >= seconds:
            self.flush()

    def _gather(self, batches: Sequence[Batch]) -> None:
        by_topic: dict[str, list[Batch]] = defaultdict(list)
        for batch in batches:
            if not isinstance(batch.content, Mark):
                by_topic[batch.topic].append(batch)
        for topic, found in by_topic.items():
            self._gathered[topic].append(self._table(topic, found))
            for batch in found:
                place = batch.topic, batch.partition
                self._taken[place] = max(batch.end, self._taken.get(place, 0))
        if self._since is None:
            self._since = time.monotonic()

    def _table(self, topic: str, batches: list[Batch]) -> pa.Table:
        columns = self._columns[topic]
        since = {place: offset for place, offset in self._taken.items() if place[0] == topic}
        found = decode(batches, self._schemas, nullable_schema(topic, columns), columns, since)
        if len(found.undecodable):
            first = found.undecodable.slice(0, 1).to_pylist()[0]
            raise LogError(
                f"topic {topic}, partition {first['_partition']}, offset {first['_offset']}",
                f"it cannot be archived: {first['reason']}",
                "see that only Headrace's own roles write to this topic",
            )
        table = found.table
        if LOG_OFFSET not in table.column_names:
            names = {"_partition": LOG_PARTITION, "_offset": LOG_OFFSET, "_arrival": "_log_arrival"}
            table = table.rename_columns([names.get(name, name) for name in table.column_names])
        return table.drop_columns(["_log_arrival"])
