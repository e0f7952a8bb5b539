"""What a backfill refused, row by row: a Parquet file for each history file, beside the archive's tables."""

from __future__ import annotations

from collections import Counter
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.archive.delta import Archive
from headrace.declare.declaration import StreamDef
from headrace.stream.enrichment import DEAD


class Letters:
    """Writes one file's dead letters: row (from 0), reason, detail, and the stream's columns.

    A file that is taken again after a kill gives the same letters again, in place of the old.
    """

    def __init__(self, archive: Archive, topic: str, file: str, stream: StreamDef) -> None:
        self._archive, self._path, self._stream = archive, _path(archive, topic, file), stream
        columns = [pa.field(name, kind.arrow) for name, kind in stream.columns.items()]
        fields = [pa.field("row", pa.int64()), pa.field("reason", pa.string()), pa.field("detail", pa.string())]
        self._schema = pa.schema([*fields, *columns])

    def __enter__(self) -> Letters:
        self._archive.files.create_dir(self._path.rpartition("/")[0])
        self._writer = pq.ParquetWriter(self._path, self._schema, filesystem=self._archive.files)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def undecodable(self, raw: pa.Table) -> pa.Table:
        """The records without those that lack a required value; the live stream could not hold them."""
        required = [name for name, kind in self._stream.columns.items() if not kind.nullable]
        lacking = {name: raw[name].is_null().to_numpy() for name in required if raw[name].null_count}
        if not lacking:
            return raw
        bad = np.any(list(lacking.values()), axis=0)
        rows = np.flatnonzero(bad)
        details = [f"{next(name for name, nulls in lacking.items() if nulls[row])} is null" for row in rows]
        self.add(raw, pa.table([rows, ["undecodable"] * len(rows), details], schema=DEAD))
        return raw.filter(pa.array(~bad))

    def add(self, raw: pa.Table, dead: pa.Table) -> None:
        """Dead letters (as enrichment gives them) among raw records."""
        if not len(dead):
            return
        found = raw.take(dead["_row"])
        columns = {"row": found["_offset"], "reason": dead["reason"], "detail": dead["detail"]}
        columns |= {name: found[name] for name in self._stream.columns}
        self._writer.write_table(pa.table(columns).select(self._schema.names).cast(self._schema))

    @staticmethod
    def found(archive: Archive, topic: str, file: str) -> tuple[str | None, Counter[str]]:
        """Where a file's dead letters are (None: it has none), and how many for each reason."""
        path = _path(archive, topic, file)
        try:
            reasons = pq.read_table(path, columns=["reason"], filesystem=archive.files)["reason"]
        except FileNotFoundError:
            return None, Counter()
        counts = Counter({row["values"]: row["counts"] for row in reasons.value_counts().to_pylist()})
        return (path if counts else None), counts


def _path(archive: Archive, topic: str, file: str) -> str:
    return f"{archive.root}/_dead/{topic}/{file}.parquet"
