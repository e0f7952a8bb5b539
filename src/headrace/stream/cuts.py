"""Cuts: from when on each stream counts live, because what lies before is in its history.

`headrace backfill` announces a cut on the log, and the enrich role takes it up between two steps, committing how
far it has read in a transaction of its own. So once `taken_up` is true, every record that was judged without the
cut is on the enriched topic already, and every later one is judged with it: whoever then reads the enriched topic
to its end knows for certain whether the live stream brought a record that history would count again.
(`archive.cut` does.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from headrace.declare.types import ColumnType
from headrace.errors import WriterTaken
from headrace.log.contract import Log, Topic
from headrace.log.turns import transaction_in_turn
from headrace.schema.avro import decode, encode_block, nullable_schema
from headrace.schema.contract import Schemas

ROLE: Final = "backfill"
COLUMNS: Final[Mapping[str, ColumnType]] = {
    "stream": ColumnType("str", nullable=True),
    "cut": ColumnType("int", nullable=True),
}
"""A stream's title and its cut (ms); a null takes a cut back."""
_LIMIT: Final = 1_000


class Cuts:
    """The cuts that stand on a topic, which is made where there is none; read on from where it was left.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.log.sqlite import SqliteLog
    >>> from headrace.schema.folder import FolderSchemas
    >>> folder = Path(tempfile.mkdtemp())
    >>> log = SqliteLog(folder / "log")
    >>> cuts = Cuts(log, FolderSchemas(folder / "schemas"), "shop.cuts")
    >>> cuts.announce("sale", 5_000)
    >>> cuts.advance(), cuts.known, cuts.advance()
    (True, {'sale': 5000}, False)
    >>> log.close()
    """

    def __init__(self, log: Log, schemas: Schemas, topic: str) -> None:
        self._log, self._schemas, self._topic = log, schemas, topic
        self._schema = nullable_schema(topic, COLUMNS)
        log.create(Topic(topic, ROLE, 1))
        self.known: dict[str, int] = {}
        """The cut (ms) of each stream that has one, by title."""
        self.position = 0
        """The offset after the last announcement read."""

    def advance(self) -> bool:
        """Reads what is new; whether there was anything."""
        batches = self._log.read(self._topic, 0, self.position, _LIMIT)
        if not batches:
            return False
        for row in decode(batches, self._schemas, self._schema, COLUMNS).table.to_pylist():
            if row["cut"] is None:
                self.known.pop(row["stream"], None)
            else:
                self.known[row["stream"]] = row["cut"]
        self.position = batches[-1].end
        return True

    def announce(self, stream: str, cut: int | None) -> None:
        """Appends a stream's cut, or that it has none any more."""
        schema_id = self._schemas.register(f"{self._topic}-value", self._schema).id
        row = pa.table({"stream": pa.array([stream], pa.string()), "cut": pa.array([cut], pa.int64())})
        with transaction_in_turn(self._log, ROLE) as transaction:
            transaction.append(self._topic, 0, encode_block(row, schema_id, cut or 0))

    def taken_up(self, role: str) -> bool:
        """Whether what was read here is known to a role, or to every later process of it where none runs now."""
        if self._log.committed(role).positions.get((self._topic, 0), 0) >= self.position:
            return True
        try:
            self._log.writer(role).close()
        except WriterTaken:
            return False
        return True
