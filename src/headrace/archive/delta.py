"""The archive: one Delta table a topic, on a folder or on object storage.

What a writer must remember with its rows (its position, its mark, which files it has taken) is a *note*: an
application transaction of the same Delta commit (Delta protocol, "Transaction Identifiers"). So a kill at any
instant leaves rows and notes together or neither. Notes are read from the table's snapshot, without a scan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pf
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from headrace.archive.progress import Progress
from headrace.errors import SchemaError, SourceError
from headrace.log.batches import Partition, Positions

_ATTEMPTS: Final = 5
_SETTINGS: Final = {"delta.enableExpiredLogCleanup": "false", "delta.checkpointInterval": "50"}
_NOTED: Final = "partitions"
_MARK: Final = "mark"


class Archive:
    """Delta tables under one folder or URI, by topic.

    schemas: the columns that topics are known to have; a topic that has no table yet reads as empty with these.
    options: of the object store, as deltalake's `storage_options`.

    >>> import tempfile
    >>> archive = Archive(tempfile.mkdtemp())
    >>> rows = pa.table({"sku": ["a", "b"], "_log_partition": pa.array([0, 0], pa.int32()), "_log_offset": [0, 1]})
    >>> archive.append("sales", rows, {("sales", 0): 2}, mark=None)
    1
    >>> archive.position(["sales"]), archive.read("sales")["sku"].to_pylist()
    ({('sales', 0): 2}, ['a', 'b'])
    """

    def __init__(
        self,
        uri: str | Path,
        schemas: Mapping[str, pa.Schema] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.uri = str(uri)
        self._schemas = dict(schemas or {})
        self._options = dict(options or {}) or None
        self._tables: dict[str, DeltaTable] = {}
        if "://" in self.uri:
            self.files, self.root = pf.FileSystem.from_uri(self.uri)
        else:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
            self.files, self.root = pf.LocalFileSystem(), str(Path(self.uri).resolve())

    def knowing(self, schemas: Mapping[str, pa.Schema]) -> Archive:
        """The same archive, with the columns that topics are known to have."""
        return Archive(self.uri, {**self._schemas, **schemas}, self._options)

    def known(self, topic: str) -> pa.Schema:
        """The columns that a topic is known to have."""
        return self._schemas[topic]

    # Writing

    def create(self, topic: str, schema: pa.Schema) -> DeltaTable:
        """The table of a topic; without rows (version 0) where there was none."""
        table = self._tables.get(topic) or self._table(topic)
        if table is None:
            DeltaTable.create(
                self._place(topic),
                schema=schema,
                mode="ignore",
                configuration=dict(_SETTINGS),
                storage_options=self._options,
            )
            table = self._needed(topic)
        return table

    def append(
        self,
        topic: str,
        data: pa.Table | pa.RecordBatchReader,
        positions: Positions,
        mark: int | None,
        notes: Mapping[str, int] | None = None,
    ) -> int:
        """Appends rows, and remembers positions, mark (ms) and notes, in one commit; its version.

        positions: of any topics; those of others are left out. A reader is written as it is read; if it fails,
        nothing was appended. A column that is new is null in the older rows. SchemaError when a column's type
        changed.
        """
        self._agree(topic, data.schema)
        keep = {**self._placed(topic, positions), **(notes or {})}
        if mark is not None:
            keep[_MARK] = mark
        properties = CommitProperties(app_transactions=[Transaction(name, number) for name, number in keep.items()])
        attempts = 1 if notes or not isinstance(data, pa.Table) else _ATTEMPTS
        for left in reversed(range(attempts)):
            try:
                return self._write(topic, data, properties)
            except CommitFailedError as error:
                self._tables.pop(topic, None)
                if not left or "metadata" not in str(error).lower():
                    raise  # only columns that another process added meanwhile are no reason to fail
        raise AssertionError("unreachable")

    def _write(self, topic: str, data: Any, properties: CommitProperties) -> int:
        table = self.create(topic, data.schema)
        write_deltalake(table, data, mode="append", schema_mode="merge", commit_properties=properties)
        return int(table.version())

    def _agree(self, topic: str, schema: pa.Schema) -> None:
        table = self._tables.get(topic) or self._table(topic)
        if table is None:
            return
        known = _milliseconds(pa.schema(table.schema().to_arrow()))
        for field in schema:
            at = known.get_field_index(field.name)
            if at >= 0 and known.field(at).type != field.type:
                raise SchemaError(
                    f"archive of {topic}",
                    f"its column {field.name!r} is {known.field(at).type}, and the new rows have {field.type}",
                    "give the changed column another name",
                )

    def _placed(self, topic: str, positions: Positions) -> dict[str, int]:
        here = {partition: offset for (name, partition), offset in positions.items() if name == topic}
        if not here:
            return {}
        table = self._tables.get(topic) or self._table(topic)
        known = None if table is None else table.transaction_version(_NOTED)
        count = max(max(here) + 1, known or 0)
        return {_NOTED: count, **{f"position/{partition}": offset for partition, offset in here.items()}}

    # What is remembered

    def note(self, topic: str, name: str) -> int | None:
        """The number last remembered under a name with rows of a topic."""
        return self.notes(topic, [name]).get(name)

    def notes(self, topic: str, names: Collection[str], version: int | None = None) -> dict[str, int]:
        """Those of the names under which a number is remembered, as of a version of the table."""
        table = self._table(topic, version)
        found = {} if table is None else {name: table.transaction_version(name) for name in names}
        return {name: int(number) for name, number in found.items() if number is not None}

    def stored(self, topic: str) -> dict[Partition, int]:
        """For each partition the position that was committed with a topic's rows."""
        table = self._table(topic)
        if table is None:
            return {}
        places = range(table.transaction_version(_NOTED) or 0)
        offsets = {place: table.transaction_version(f"position/{place}") for place in places}
        return {(topic, place): int(offset) for place, offset in offsets.items() if offset is not None}

    def position(self, topics: Sequence[str]) -> dict[Partition, int]:
        """For each partition: all records below this offset are in the archive."""
        positions = {
            place: offset for place, offset in self.progress().positions.items() if place[0] in set(topics)
        }
        for topic in topics:
            for place, offset in self.stored(topic).items():
                positions[place] = max(offset, positions.get(place, 0))
        return positions

    def mark(self) -> int | None:
        """The mark (ms) before which everything that arrived is in the archive; None when live."""
        return self.progress().mark

    def progress(self) -> Progress:
        return Progress.read(self.files, self.root)

    def remember(self, progress: Progress) -> None:
        """Replaces the sink's progress; call it only when all that it speaks of is committed."""
        progress.write(self.files, self.root)

    # Reading

    def topics(self) -> list[str]:
        """The topics that have a table."""
        entries = self.files.get_file_info(pf.FileSelector(self.root, allow_not_found=True))
        names = [entry.base_name for entry in entries if entry.type == pf.FileType.Directory]
        return sorted(name for name in names if not name.startswith("_") and self._table(name) is not None)

    def versions(self) -> dict[str, int]:
        """The newest version of each topic's table: what a run pins."""
        return {topic: int(self._needed(topic).version()) for topic in self.topics()}

    def version(self, topic: str) -> int | None:
        """The newest version of a topic's table; None where there is none."""
        table = self._table(topic)
        return None if table is None else int(table.version())

    def dataset(self, topic: str, version: int | None = None) -> ds.Dataset:
        """A topic's rows for DuckDB or pyarrow to scan, read when they are needed.

        Columns: those known first, times in microseconds (Delta's own unit). SourceError where nothing is known.
        """
        table = self._table(topic, version)
        known = self._schemas.get(topic)
        if table is None:
            if known is None:
                raise SourceError(
                    f"archive of {topic}",
                    f"there is no table of this topic in {self.uri}",
                    "run the archive role first, or name a topic of this project",
                )
            return ds.dataset(known.empty_table())
        stored = pa.schema(table.schema().to_arrow())
        return table.to_pyarrow_dataset(schema=stored if known is None else _merged(known, stored))

    def read(
        self,
        topic: str,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        where: ds.Expression | None = None,
    ) -> pa.Table:
        """A topic's rows, in no order, as of a version (None: the newest). Times are timestamps in ms."""
        try:
            found = self.dataset(topic, version).to_table(columns=columns and list(columns), filter=where)
        except FileNotFoundError as error:
            raise SourceError(
                f"archive of {topic}",
                f"files of version {version} were vacuumed",
                "pin the versions that runs need",
            ) from error
        return found.cast(_milliseconds(found.schema))

    def nothing(self, topic: str) -> pa.Table:
        """No rows, with the columns that a topic is known to have."""
        known = self.known(topic)
        return known.empty_table().cast(_milliseconds(known))

    # Upkeep

    def compact(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        """Rewrites small files into few large ones; how many fewer each topic has. Older versions stay readable.

        topics: None is all. Where another process rewrites the same files, they are left to it.
        """
        fewer = {}
        for topic in self.topics() if topics is None else topics:
            try:
                metrics = self._needed(topic).optimize.compact()
            except CommitFailedError:
                continue
            fewer[topic] = int(metrics["numFilesRemoved"]) - int(metrics["numFilesAdded"])
        return fewer

    def vacuum(self, pinned: Mapping[str, Collection[int]], hours: int = 168) -> int:
        """Deletes the files that no newest and no pinned version needs, unused for so many hours; how many."""
        count = 0
        for topic in self.topics():
            removed = self._needed(topic).vacuum(
                retention_hours=hours,
                enforce_retention_duration=False,
                dry_run=False,
                keep_versions=sorted(pinned.get(topic, ())),
            )
            count += len(removed)
        return count

    # Tables

    def _place(self, topic: str) -> str:
        return f"{self.uri.rstrip('/')}/{topic}"

    def _table(self, topic: str, version: int | None = None) -> DeltaTable | None:
        """The table at a version, or brought up to date; None where there is none."""
        if version is not None:
            try:
                return DeltaTable(self._place(topic), version=version, storage_options=self._options)
            except (DeltaError, OSError) as error:
                raise SourceError(
                    f"archive of {topic}", f"version {version} cannot be read: {error}", "pin a version that exists"
                ) from error
        table = self._tables.get(topic)
        if table is not None:
            table.update_incremental()
            return table
        try:
            table = DeltaTable(self._place(topic), storage_options=self._options)
        except TableNotFoundError:
            return None
        self._tables[topic] = table
        return table

    def _needed(self, topic: str) -> DeltaTable:
        table = self._table(topic)
        assert table is not None
        return table


def _milliseconds(schema: pa.Schema) -> pa.Schema:
    fields = [
        field.with_type(pa.timestamp("ms")) if field.type == pa.timestamp("us") else field for field in schema
    ]
    return pa.schema(fields)


def _merged(known: pa.Schema, stored: pa.Schema) -> pa.Schema:
    """The known columns in their order, in the types as stored; then those that are stored but no longer known."""
    first = [stored.field(field.name) if field.name in stored.names else field for field in known]
    return pa.schema([*first, *(field for field in stored if field.name not in known.names)])
