"""The predictions that are still of interest: made lately, or not judged yet. A sink held in memory.

It is rebuilt from the predictions topic at each start, so it needs no store of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.declare.types import ColumnType
from headrace.log.batches import Batch, Positions
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas


def prediction_columns(declaration: Declaration) -> dict[str, ColumnType]:
    """The columns of the predictions topic."""
    return {
        "_id": ColumnType("str", True),
        "_t": ColumnType("int", True),
        "_made": ColumnType("int", True),
        "_model": ColumnType("str", True),
        "_prediction": ColumnType("float", True),
        "_unknown": ColumnType("bool", True),
        **{name: ColumnType(kind.kind, True) for name, kind in declaration.request.items()},
        **{f"feature__{feature.name}": feature.type for feature in declaration.features},
    }


class Predictions:
    """A sink of the predictions topic: `made` holds the columns of the topic, one row a prediction."""

    def __init__(self, declaration: Declaration, schemas: Schemas) -> None:
        self._columns = prediction_columns(declaration)
        self._schemas = schemas
        self._schema = nullable_schema("prediction", self._columns)
        self._positions: Positions = {}
        self._mark: int | None = None
        self._chunks: list[pa.Table] = []
        self._empty = pa.table({name: pa.array([], kind.arrow) for name, kind in self._columns.items()})

    def position(self) -> Positions:
        return self._positions

    def mark(self) -> int | None:
        return self._mark

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        decoded = decode(batches, self._schemas, self._schema, self._columns).table.select(list(self._columns))
        if decoded.num_rows:
            self._chunks.append(decoded)
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
