"""Producers outside of Headrace: rows or tables onto a stream's raw topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.declaration import StreamDef
from headrace.declare.retention import EVENTS
from headrace.errors import HeadraceError, SourceError
from headrace.log.batches import FRAMES, Framed, Mark
from headrace.log.contract import Log, Topic, Transaction
from headrace.log.murmur2 import partitions_for
from headrace.log.turns import transaction_in_turn
from headrace.schema.avro import encode_framed
from headrace.schema.contract import AvroSchema, Schemas
from headrace.stream.columns import Misfit, column_from, column_of, keys_of

ROLE: Final = "producers"
_BATCH: Final = 8_192
"""Records in one batch of a partition at most."""


def raw_schema(stream: StreamDef) -> AvroSchema:
    """The Avro schema of a stream's raw records: required columns are required, others default to null."""
    fields: list[dict[str, Any]] = []
    for name, kind in stream.columns.items():
        field: dict[str, Any] = {"name": name, "type": kind.avro}
        fields.append(field | {"default": None} if kind.nullable else field)
    return {"type": "record", "name": stream.title, "fields": fields}


class Producer:
    """Sends to a stream's raw topic, which it creates with the schema of its records.

    The right to write is taken for each sending, so that many producers share a topic. clock: ms; what is sent
    without an arrival arrives then.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.declare.types import ColumnType
    >>> from headrace.log.sqlite import SqliteLog
    >>> from headrace.schema.folder import FolderSchemas
    >>> folder = Path(tempfile.mkdtemp())
    >>> log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    >>> columns = {"sku": ColumnType("str"), "at": ColumnType("time")}
    >>> stream = StreamDef("sale", "shop.sales", ("sku",), "at", 1_000, 0, columns, (), (), ())
    >>> producer = Producer(log, schemas, stream, partitions=1)
    >>> producer.send_rows([{"sku": "a", "at": 500}], arrivals=[600])
    >>> log.bounds("shop.sales")
    [(0, 1)]
    >>> producer.send_rows([{"sku": "a", "at": 500}, {"sku": 7, "at": 500}])
    Traceback (most recent call last):
    headrace.errors.SourceError: stream sale, column sku, row 1: it is 7, and the column is Str. To mend it: \
correct the row, or declare the column otherwise
    >>> log.close()
    """

    def __init__(
        self,
        log: Log,
        schemas: Schemas,
        stream: StreamDef,
        *,
        partitions: int = 4,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._stream = stream
        self._partitions = partitions
        self._clock = clock
        registered = schemas.register(f"{stream.topic}-value", raw_schema(stream), "BACKWARD_TRANSITIVE")
        self._schema, self._schema_id = registered.schema, registered.id
        log.create(Topic(stream.topic, ROLE, partitions, EVENTS))
        self._log = log

    def send_rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        arrivals: Sequence[int] | None = None,
        headers: Sequence[Mapping[str, bytes]] | None = None,
    ) -> None:
        """Sends rows, all or none. A column that may be null may be left out. SourceError names column and row.

        arrivals: ms, one a row; without them the rows arrive now. headers: one mapping a row.
        """
        for row, record in enumerate(rows):
            for name in record:
                if name not in self._stream.columns:
                    raise self._error(name, row, "the stream has no such column")
        columns = {}
        for name, kind in self._stream.columns.items():
            try:
                columns[name] = column_of([record.get(name) for record in rows], kind)
            except Misfit as misfit:
                missing = name not in rows[misfit.row]
                raise self._error(name, misfit.row, "it is missing" if missing else misfit.cause) from None
        found = None if headers is None else pa.array([list(h.items()) or None for h in headers], _HEADERS)
        self._send(pa.table(columns), None if arrivals is None else np.asarray(arrivals, np.int64), found)

    def send_table(self, table: pa.Table, arrivals: npt.NDArray[np.int64] | None = None) -> None:
        """Sends the rows of an Arrow table, all or none: the fast way. Other columns of the table are left out."""
        self._send(self._columns(table), arrivals, None)

    def _columns(self, table: pa.Table) -> pa.Table:
        columns = {}
        for name, kind in self._stream.columns.items():
            if name in table.column_names:
                try:
                    columns[name] = column_from(table.column(name), kind)
                except Misfit as misfit:
                    raise self._error(name, misfit.row, misfit.cause) from None
            elif kind.nullable:
                columns[name] = pa.nulls(table.num_rows, kind.arrow)
            else:
                raise self._error(name, 0, "it is missing")
        return pa.table(columns)

    def mark(self, time: int) -> None:
        """Writes the mark of a replay (ms) to every partition."""
        with transaction_in_turn(self._log, ROLE) as transaction:
            self.put_mark(transaction, time)

    def put_table(
        self, transaction: Transaction, table: pa.Table, arrivals: npt.NDArray[np.int64] | None = None
    ) -> None:
        """As `send_table`, within a transaction of the role "producers" that does more."""
        self._put(transaction, self._columns(table), arrivals, None)

    def put_mark(self, transaction: Transaction, time: int) -> None:
        """As `mark`, within a transaction of the role "producers" that does more."""
        for partition in range(self._partitions):
            transaction.append(self._stream.topic, partition, Mark(time))

    def _send(self, table: pa.Table, arrivals: npt.NDArray[np.int64] | None, headers: pa.Array | None) -> None:
        with transaction_in_turn(self._log, ROLE) as transaction:
            self._put(transaction, table, arrivals, headers)

    def _put(
        self,
        transaction: Transaction,
        table: pa.Table,
        arrivals: npt.NDArray[np.int64] | None,
        headers: pa.Array | None,
    ) -> None:
        if table.num_rows == 0:
            return
        if arrivals is None:
            arrivals = np.full(table.num_rows, self._clock(), np.int64)
        if len(arrivals) != table.num_rows:
            cause = f"{len(arrivals)} arrivals are given for {table.num_rows} rows"
            raise SourceError(f"stream {self._stream.title}", cause, "give one for each row")
        keys = keys_of(table, self._stream.key)
        framed = encode_framed(table, self._schema, self._schema_id, keys, pa.array(arrivals))
        records = framed.records
        if headers is not None:
            records = records.set_column(3, FRAMES.field("headers"), headers)
        places = partitions_for(keys, self._partitions)
        for partition in range(self._partitions):
            self._append(transaction, partition, records.take(pa.array(np.flatnonzero(places == partition))))

    def _append(self, transaction: Transaction, partition: int, records: pa.RecordBatch) -> None:
        for begin in range(0, records.num_rows, _BATCH):
            transaction.append(self._stream.topic, partition, Framed(records.slice(begin, _BATCH)))

    def _error(self, column: str, row: int, cause: str) -> HeadraceError:
        subject = f"stream {self._stream.title}, column {column}, row {row}"
        return SourceError(subject, cause, "correct the row, or declare the column otherwise")


_HEADERS: Final = FRAMES.field("headers").type
