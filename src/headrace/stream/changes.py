"""Changes of tables, as the tables role writes them, and the rows that result from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl
import pyarrow as pa

from headrace.declare.declaration import TableDef
from headrace.log.batches import Batch, Mark, Partition
from headrace.log.contract import Log
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.layouts import change_columns

ROLE: Final = "tables"
_LIMIT: Final = 50_000
_END: Final = 2**63 - 1


class Rows:
    """The newest row of each key of one table, from its changes up to a mark.

    Changes before the topic's first mark hold at once. Where a mark has been seen, later changes hold only when the
    mark behind them is passed: under replay nothing is joined before its time. (So a log that was replayed is not
    gone on with live.)
    """

    def __init__(self, log: Log, schemas: Schemas, table: TableDef, topic: str) -> None:
        self._log, self._schemas, self._topic = log, schemas, topic
        self._columns = change_columns(table)
        self._schema = nullable_schema(topic, self._columns)
        none = decode([], schemas, self._schema, self._columns).table
        self._rows = pl.from_arrow(none.select(list(self._columns)))
        self._held: list[Batch] = []
        self._read = 0
        self.position = 0
        """The offset after the last change that holds."""
        self.mark: int | None = None
        """The newest mark behind changes that hold."""
        self.table: pa.Table = self._arrow()
        """The rows that are there, with the columns of `change_columns`."""

    def advance(self, passed: int | None) -> None:
        """Takes what is new. passed: the newest mark (ms) up to which changes may hold."""
        ready: list[Batch] = []
        stopped = False
        while not stopped:
            batches = self._log.read(self._topic, 0, self._read, _LIMIT)
            if not batches:
                break
            for batch in batches:
                if isinstance(batch.content, Mark):
                    time = batch.content.time
                    if self.mark is not None and (passed is None or time > passed):
                        stopped = True
                        break
                    ready += self._held
                    self._held = []
                    self.mark, self.position = time, batch.end
                else:
                    self._held.append(batch)
                self._read = batch.end
        if self.mark is None:
            ready, self._held = ready + self._held, []
            self.position = self._read
        if ready:
            self._apply(ready)

    def catch_up(self) -> None:
        """Takes all that is new, whatever the marks."""
        self.advance(_END)
        held, self._held = self._held, []
        self.position = self._read
        if held:
            self._apply(held)

    def _apply(self, batches: Sequence[Batch]) -> None:
        changes = decode(batches, self._schemas, self._schema, self._columns).table.select(list(self._columns))
        rows = pl.concat([_frame(self._rows), _frame(pl.from_arrow(changes))])
        rows = rows.unique("_key", keep="last", maintain_order=True).filter(~pl.col("_deleted"))
        self._rows = rows
        self.table = self._arrow()

    def _arrow(self) -> pa.Table:
        kinds = pa.schema([pa.field(name, kind.arrow) for name, kind in self._columns.items()])
        return _frame(self._rows).select(list(self._columns)).to_arrow().cast(kinds)


class Lookups:
    """The rows of several tables, by title, once each has been loaded.

    >>> Lookups.topics_loaded({("p.table.store", 0): 3}, ["p.table.store"])
    True
    """

    def __init__(self, log: Log, schemas: Schemas, tables: Iterable[tuple[TableDef, str]]) -> None:
        self._log, self._schemas = log, schemas
        self._tables = list(tables)
        self._rows: dict[str, Rows] = {}

    @staticmethod
    def topics_loaded(positions: dict[Partition, int], topics: Iterable[str]) -> bool:
        """Whether the tables role has loaded the tables of these topics once."""
        return all((topic, 0) in positions for topic in topics)

    def ready(self, passed: int | None) -> bool:
        """Whether every table is loaded; takes what is new up to the mark `passed`."""
        if len(self._rows) < len(self._tables):
            positions = dict(self._log.committed(ROLE).positions)
            if not self.topics_loaded(positions, [topic for _, topic in self._tables]):
                return False
            for table, topic in self._tables:
                self._rows[table.title] = Rows(self._log, self._schemas, table, topic)
        for rows in self._rows.values():
            rows.advance(passed)
        return True

    def reached(self, mark: int) -> bool:
        """Whether every table's changes up to the mark hold."""
        return all(rows.mark is not None and rows.mark >= mark for rows in self._rows.values())

    def tables(self) -> dict[str, pa.Table]:
        """The rows by table title."""
        return {title: rows.table for title, rows in self._rows.items()}


def _frame(frame: pl.DataFrame | pl.Series) -> pl.DataFrame:
    assert isinstance(frame, pl.DataFrame)
    return frame
