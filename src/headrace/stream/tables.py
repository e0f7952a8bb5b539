"""The tables role: reads declared tables again and again, and appends what changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from headrace.declare.declaration import Declaration, TableDef
from headrace.declare.duration import SECOND
from headrace.declare.keys import quoted
from headrace.declare.topics import Topics
from headrace.errors import SourceError
from headrace.log.batches import Block, Content, Mark
from headrace.log.contract import Log, Topic
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.changes import ROLE, Rows
from headrace.stream.layouts import change_columns
from headrace.stream.sources import read_source

_RETRY: Final = 10 * SECOND
_LOGGER: Final = logging.getLogger("headrace.tables")


class Tables:
    """Keeps the topic of every declared table up to date.

    clock: ms. root: the folder that relative sources refer to. mark: under replay the newest mark of the clock's
    topic (ms), which then is the time; None when live.
    """

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        root: Path | None = None,
        mark: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._log, self._clock, self._mark = log, clock, mark
        self._root = declaration.path.parent if root is None else root
        topics = Topics.of(declaration)
        self._writer = log.writer(ROLE)
        self._kept = [
            _Kept(table, topics.table(title), log, schemas) for title, table in declaration.tables.items()
        ]
        self._passed = log.committed(ROLE).mark
        self._due = {kept.topic: self._first_due(kept) for kept in self._kept}
        self.failures: dict[str, SourceError] = {}
        """For each table title why its last refresh failed; the rows known before stay in force."""

    def step(self) -> int:
        """Refreshes what is due; how many changes and marks were written."""
        mark = self._mark()
        if mark is not None and mark == self._passed:
            return 0
        now = self._clock() if mark is None else mark
        due = [kept for kept in self._kept if self._due[kept.topic] <= now]
        if not due and mark is None:
            return 0
        changes = {kept.topic: self._refresh(kept, now) for kept in due}
        written = 0
        with self._writer.transaction() as transaction:
            for kept in self._kept:
                contents: list[Content] = [*changes.get(kept.topic, [])]
                contents += [] if mark is None else [Mark(mark)]
                for content in contents:
                    transaction.append(kept.topic, 0, content)
                    kept.end += content.count
                    written += content.count
                if kept in due and kept.table.title not in self.failures:
                    transaction.keep(f"refreshed/{kept.topic}", str(now).encode())
            transaction.commit({(kept.topic, 0): kept.end for kept in self._kept if kept.loaded}, mark)
        for kept in self._kept:
            kept.advance()
        self._passed = mark
        return written

    def close(self) -> None:
        """Gives back the right to write."""
        self._writer.close()

    def _first_due(self, kept: _Kept) -> int:
        refreshed = self._writer.kept(f"refreshed/{kept.topic}")
        kept.loaded = refreshed is not None
        return 0 if refreshed is None else int(refreshed) + kept.table.refresh

    def _refresh(self, kept: _Kept, now: int) -> list[Block]:
        """What changed in a table; nothing where its source cannot be read."""
        title = kept.table.title
        try:
            blocks = kept.changes(read_source(kept.table, self._root), now)
        except SourceError as error:
            self.failures[title] = error
            _LOGGER.error("%s", error)
            self._due[kept.topic] = now + min(kept.table.refresh, _RETRY)
            return []
        self.failures.pop(title, None)
        self._due[kept.topic] = now + kept.table.refresh
        kept.loaded = True
        return blocks


class _Kept:
    """One table: the rows that its topic gives, and the changes towards what its source gives."""

    def __init__(self, table: TableDef, topic: str, log: Log, schemas: Schemas) -> None:
        self.table, self.topic, self.loaded = table, topic, False
        self._columns = change_columns(table)
        log.create(Topic(topic, ROLE, 1))
        self._schema_id = schemas.register(f"{topic}-value", nullable_schema(topic, self._columns)).id
        self._rows = Rows(log, schemas, table, topic)
        self.advance()

    def advance(self) -> None:
        """Takes what the role itself wrote."""
        self._rows.catch_up()
        self.end = self._rows.position

    def changes(self, new: pa.Table, now: int) -> list[Block]:
        """The rows that are new or changed, and those that are gone, by key."""
        columns = ", ".join(quoted(name) for name in [*self.table.columns, "_key"])
        keys = ", ".join(quoted(name) for name in self.table.key)
        since = self.table.valid_from
        valid = str(now) if since is None else f"coalesce(epoch_ms({quoted(since)}), {now})"
        changed = f"SELECT {columns} FROM new_rows EXCEPT SELECT {columns} FROM old_rows"
        with duckdb.connect() as connection:
            connection.execute("SET threads = 1")
            connection.register("new_rows", new)
            connection.register("old_rows", self._rows.table)
            found: Any = connection.sql(
                f"SELECT *, false AS _deleted, {now} AS _arrival, {valid} AS _valid FROM ({changed}) "
                f"UNION ALL BY NAME SELECT {keys}, _key, true AS _deleted, {now} AS _arrival, {now} AS _valid "
                f"FROM old_rows ANTI JOIN new_rows USING (_key) ORDER BY _key"
            ).to_arrow_table()
        if found.num_rows == 0:
            return []
        typed = [found.column(name).cast(kind.arrow) for name, kind in self._columns.items()]
        return [encode_block(pa.table(typed, names=list(self._columns)), self._schema_id, now)]


def load_once(declaration: Declaration, log: Log, schemas: Schemas, now: int) -> None:
    """Loads the tables that were never loaded, at `now` (ms), where no tables role does it meanwhile."""
    topics = Topics.of(declaration)
    loaded = {topic for topic, _ in log.committed(ROLE).positions}
    if loaded.issuperset(topics.table(title) for title in declaration.tables):
        return
    tables = Tables(declaration, log, schemas, lambda: now)
    try:
        tables.step()
        for error in tables.failures.values():
            raise error
    finally:
        tables.close()
