"""The predictions that are still of interest: made lately, or not judged yet. A sink held in memory.

It is rebuilt from the predictions topic at each start, so it needs no store of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.declare.predictions import prediction_columns
from headrace.declare.topics import Topics
from headrace.errors import SchemaError
from headrace.log.batches import Batch, Positions
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas


class Predictions:
    """A sink of the predictions topic: `made` holds the columns of the topic, one row a prediction."""

    def __init__(self, declaration: Declaration, schemas: Schemas) -> None:
        self._columns = prediction_columns(declaration)
        self._schemas = schemas
        self._schema = nullable_schema(Topics.of(declaration).predictions, self._columns)
        self._positions: Positions = {}
        self._mark: int | None = None
        self._chunks: list[pa.Table] = []
        self._empty = pa.table({name: pa.array([], kind.arrow) for name, kind in self._columns.items()})

    def position(self) -> Positions:
        return self._positions

    def mark(self) -> int | None:
        return self._mark

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        found = decode(batches, self._schemas, self._schema, self._columns)
        if found.undecodable.num_rows:
            why = found.undecodable.column("reason")[0].as_py()
            raise SchemaError(
                "predictions topic",
                f"it holds what is no prediction: {why}",
                "see that only the serve role writes to it",
            )
        if found.table.num_rows:
            self._chunks.append(found.table.select(list(self._columns)))
        self._positions, self._mark = positions, mark

    @property
    def made(self) -> pa.Table:
        """All predictions held, in the order in which they were logged in each partition."""
        if len(self._chunks) != 1:
            self._chunks = [pa.concat_tables([self._empty, *self._chunks]).combine_chunks()]
        return self._chunks[0]

    def forget(self, before: int) -> None:
        """Drops predictions whose t is before an instant, ms."""
        self._chunks = [self.made.filter(pc.field("_t") >= before)]
