"""The topics to which logged predictions go, and what goes there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.keys import key_text
from headrace.declare.predictions import prediction_columns
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.errors import ServingError
from headrace.log.batches import Content
from headrace.log.murmur2 import partition_for
from headrace.schema.avro import encode_block, encode_framed, nullable_schema
from headrace.schema.contract import Schemas
from headrace.serving.segment import Logged
from headrace.stream.producer import raw_schema


class Destination(Protocol):
    """A topic to which predictions go."""

    topic: str

    def contents(self, rows: Sequence[Logged], partitions: int) -> Mapping[int, Content]:
        """What goes to each partition, in the order of the rows."""
        ...


class Predictions:
    """The predictions topic: Avro blocks, by the entity's key. now: ms, the blocks' append time."""

    def __init__(self, declaration: Declaration, schemas: Schemas, now: Callable[[], int]) -> None:
        self.topic = Topics.of(declaration).predictions
        self._entity = declaration.entity
        self._columns = prediction_columns(declaration)
        self._now = now
        self._schema_id = schemas.register(f"{self.topic}-value", nullable_schema(self.topic, self._columns)).id

    def contents(self, rows: Sequence[Logged], partitions: int) -> dict[int, Content]:
        found = _partitioned(rows, self._entity, partitions)
        now = self._now()
        return {
            place: encode_block(_table(part, self._columns), self._schema_id, now) for place, part in found.items()
        }


class Events:
    """The raw topic of the stream whose events are the requests: framed, as a producer writes them.

    arrival: from a prediction's t to the event's arrival; None is the append time.
    """

    def __init__(
        self,
        stream: StreamDef,
        schemas: Schemas,
        now: Callable[[], int],
        arrival: Callable[[int], int | None],
    ) -> None:
        self.topic = stream.topic
        self._stream = stream
        self._schemas = schemas
        self._now = now
        self._arrival = arrival

    def contents(self, rows: Sequence[Logged], partitions: int) -> dict[int, Content]:
        registered = self._schemas.latest(f"{self.topic}-value")
        if registered is None:
            registered = self._schemas.register(f"{self.topic}-value", raw_schema(self._stream))
        now = self._now()
        contents: dict[int, Content] = {}
        for place, part in _partitioned(rows, self._stream.key, partitions).items():
            found = [self._arrival(_whole(row["_t"])) for row in part]
            arrivals = pa.array([now if arrival is None else arrival for arrival in found], pa.int64())
            keys = pa.array([_key(row, self._stream.key) for row in part], pa.binary())
            table = _table(part, self._stream.columns)
            contents[place] = encode_framed(table, registered.schema, registered.id, keys, arrivals)
        return contents


def _table(rows: Sequence[Logged], columns: Mapping[str, ColumnType]) -> pa.Table:
    arrays = {}
    for name, kind in columns.items():
        try:
            arrays[name] = pa.array([row.get(name) for row in rows], kind.arrow)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ServingError(
                f"prediction log, column {name}",
                f"it is declared {kind}: {error}",
                "start the server with the declaration that made these predictions, or move the segments away",
            ) from error
    return pa.table(arrays)


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise ServingError("prediction log", f"t is {value!r}", "move the segment away")
    return value


def _partitioned(rows: Sequence[Logged], key: Sequence[str], partitions: int) -> dict[int, list[Logged]]:
    found: dict[int, list[Logged]] = defaultdict(list)
    for row in rows:
        found[partition_for(_key(row, key), partitions)].append(row)
    return found


def _key(row: Logged, columns: Sequence[str]) -> bytes | None:
    values: list[Any] = [row.get(name) for name in columns]
    text = key_text(values)
    return None if text is None else text.encode()
