"""History from files into the archive, and its tiles into the log: each record once, however often it is tried.

A file's rows and the note that it was taken are one Delta commit, so a kill in the middle leaves the file out, and
the next run takes it. The files that are new to a run are a backfill epoch (archive/history.py says how epochs keep
records from counting twice). Its tiles are appended to the log when all files are in, and listed in the same
transaction, so that a reader sees all of them or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError

from headrace.archive.columns import LOG_OFFSET, LOG_PARTITION, schemas
from headrace.archive.cut import begin_cut
from headrace.archive.delta import Archive
from headrace.archive.files import HistoryFile
from headrace.archive.letters import Letters
from headrace.archive.listing import publish
from headrace.archive.manifest import BackfillEpoch, complete, epochs, file_note
from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.topics import Topics
from headrace.errors import SourceError
from headrace.log.contract import Log
from headrace.schema.contract import Schemas
from headrace.stream.changes import Lookups
from headrace.stream.cuts import Cuts
from headrace.stream.edges import history
from headrace.stream.enrichment import Enrichment

_BATCH: Final = 65_536
_ALL: Final = 2**63 - 1
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file.

    entered: rows that are in the archive. dead: how many were refused, by reason. letters: the Parquet file that
    lists these. again: it was in the archive before.
    """

    path: Path
    entered: int
    dead: Mapping[str, int]
    letters: str | None
    again: bool


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What became of a backfill. tiles: how many were appended to the log."""

    stream: str
    until: int
    files: tuple[FileReport, ...]
    tiles: int

    @property
    def entered(self) -> int:
        return sum(file.entered for file in self.files)

    @property
    def dead(self) -> Counter[str]:
        """Refused rows by reason; `covered` ones are not before the cut."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.dead)
        return total


def backfill(
    declaration: Declaration,
    stream: str,
    files: Sequence[Path],
    until: int,
    archive: Archive,
    log: Log,
    registry: Schemas,
    *,
    lookups: Mapping[str, pa.Table] | None = None,
    timezone: str | None = None,
    catch_up: Callable[[], None] = lambda: None,
    patience: float = 60.0,
    progress: Advance = lambda done, total: None,
) -> BackfillReport:
    """Brings files of a stream (by its title) into the archive, and their tiles to the topic of history.

    until: the stream's cut, ms; it is the same for every backfill of the stream. lookups: the joined tables' rows
    by title; None takes the newest that the tables role has loaded. timezone: of times that carry none. catch_up,
    patience: as for `archive.cut.begin_cut`. progress: is told rows done and rows in all. SourceError where a file
    cannot be used; what was refused row by row is in the report, and listed in a Parquet file beside the archive.

    >>> import tempfile
    >>> from headrace.declare.load import read_project
    >>> from headrace.log.sqlite import SqliteLog
    >>> from headrace.schema.folder import FolderSchemas
    >>> home = Path(tempfile.mkdtemp())
    >>> file = home / "chargebacks.jsonl"
    >>> _ = file.write_text('{"payment_id": "p1", "lost": 7.5, "filed_at": "1970-01-01T00:00:01Z"}')
    >>> where = Archive(home / "archive"), SqliteLog(home / "log"), FolderSchemas(home / "schemas")
    >>> fraud = read_project(Path("tests/projects/fraud.py"))
    >>> backfill(fraud, "chargeback", [file], 5_000, *where).entered
    1
    """
    definition = declaration.stream(stream)
    archive = archive.knowing(schemas(declaration))
    topic = Topics.of(declaration).enriched(stream)
    by_id = {file.id: file for file in (HistoryFile(Path(path), definition, timezone) for path in files)}
    joined = _newest(declaration, definition, log, registry) if lookups is None else lookups
    cuts = Cuts(log, registry, Topics.of(declaration).cuts)
    begin_cut(archive, log, cuts, topic, definition, until, catch_up, patience)
    before = epochs(archive, topic, list(by_id))
    epoch = BackfillEpoch.of(set(by_id) - set(before), until)
    intake = _Intake(archive, topic, definition, until, joined)
    totals = {id_: file.count() for id_, file in by_id.items() if id_ not in before}
    done = 0
    for id_, rows in totals.items():
        intake.take(by_id[id_], epoch, _after(progress, done, sum(totals.values())))
        done += rows
    touched = {*before.values(), *({epoch} if totals else ())}
    unfinished = touched - complete(archive, topic, touched)
    if unfinished:
        intake.note({found.note: 1 for found in unfinished})
    tiles = publish(declaration, archive, log, registry)
    reports = tuple(intake.report(file, again=id_ in before) for id_, file in by_id.items())
    return BackfillReport(stream, until, reports, tiles)


def _after(progress: Advance, done: int, total: int) -> Callable[[int], None]:
    return lambda taken: progress(done + taken, total)


class _Intake:
    """Files of one stream into its archived topic."""

    def __init__(
        self, archive: Archive, topic: str, stream: StreamDef, until: int, lookups: Mapping[str, pa.Table]
    ) -> None:
        self._archive, self._topic, self._stream, self._lookups = archive, topic, stream, lookups
        self._enrichment = Enrichment(stream, history(stream, until))
        self._schema = archive.known(topic)

    def take(self, file: HistoryFile, epoch: BackfillEpoch, advance: Callable[[int], None]) -> None:
        """Appends what a file holds, with the note that it was taken."""
        failed: list[BaseException] = []

        def enriched() -> Iterator[pa.RecordBatch]:
            try:
                with Letters(self._archive, self._topic, file.id, self._stream) as letters:
                    for table in self._tables(file, letters, advance):
                        yield from table.to_batches()
            except BaseException as error:
                failed.append(error)  # the table's writer tells that it failed, but not of what
                raise

        reader = pa.RecordBatchReader.from_batches(self._schema, enriched())
        try:
            self._archive.append(self._topic, reader, {}, None, {file_note(file.id): epoch.number})
        except (DeltaError, OSError, ValueError, pa.ArrowException):
            if failed:
                raise failed[0] from None
            raise

    def note(self, notes: Mapping[str, int]) -> None:
        self._archive.append(self._topic, self._schema.empty_table(), {}, None, notes)

    def report(self, file: HistoryFile, again: bool) -> FileReport:
        rows = self._archive.dataset(self._topic)
        entered = rows.count_rows(filter=(ds.field("_file") == file.id) & ds.field(LOG_OFFSET).is_null())
        path, dead = Letters.found(self._archive, self._topic, file.id)
        return FileReport(file.path, entered, dead, path, again)

    def _tables(self, file: HistoryFile, letters: Letters, advance: Callable[[int], None]) -> Iterator[pa.Table]:
        done = 0
        for table in file.batches(_BATCH):
            raw = self._raw(table, file.id, done)
            raw = letters.undecodable(raw)
            found = self._enrichment.apply(raw, self._lookups)
            letters.add(raw, found.dead)
            done += len(table)
            advance(done)
            yield self._shaped(found.table)

    def _raw(self, table: pa.Table, file: str, first: int) -> pa.Table:
        """A raw record as the live stream has it: arrived when it happened, and placed by its file and row."""
        count = len(table)
        arrivals = pc.fill_null(table[self._stream.time].cast(pa.int64()), 0)
        columns = {name: table[name].cast(kind.arrow) for name, kind in self._stream.columns.items()}
        columns["_partition"] = pa.array(np.zeros(count, np.int64))
        columns["_offset"] = pa.array(np.arange(first, first + count))
        return pa.table({**columns, "_arrival": arrivals, "_file": pa.array([file] * count, pa.string())})

    def _shaped(self, table: pa.Table) -> pa.Table:
        nowhere = pa.nulls(len(table), pa.int64())
        table = table.append_column(LOG_PARTITION, nowhere).append_column(LOG_OFFSET, nowhere)
        return table.select(self._schema.names).cast(self._schema)


def _newest(declaration: Declaration, stream: StreamDef, log: Log, registry: Schemas) -> dict[str, pa.Table]:
    """The newest rows of the tables that a stream joins."""
    topics = Topics.of(declaration)
    tables = [(join.table, topics.table(join.table.title)) for join in stream.joins]
    found = Lookups(log, registry, tables)
    if not found.ready(_ALL):
        raise SourceError(
            f"backfill of {stream.title}",
            f"its tables ({', '.join(table.title for table, _ in tables)}) were not loaded yet",
            "run `headrace run tables` until it has loaded them once",
        )
    return found.tables()
