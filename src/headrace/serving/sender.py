"""Ships the prediction log to the topics, each prediction exactly once however often the process is killed.

How far each destination has come (segment and byte) is kept in the transaction that appends to its topic. A segment
that all destinations have behind them is deleted. Where examples are events, the event of each logged prediction is
published to the stream's raw topic the same way: after its prediction, so that it is never in its own history.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.keys import key_text
from headrace.declare.label import Each
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.errors import HeadraceError, ServingError
from headrace.log.batches import Content, Framed, Mark, Record
from headrace.log.contract import Log, Topic, Transaction, Writer
from headrace.log.murmur2 import partition_for
from headrace.schema.avro import encode_block, encode_records, nullable_schema
from headrace.schema.contract import Schemas
from headrace.serving.segment import Frames, Logged, number_of, read_frames, segments

ROLE: Final = "serve"
_LOG: Final = logging.getLogger("headrace.serve")

Place = tuple[int, int]
"""A segment's number and a byte in it."""


def prediction_columns(declaration: Declaration) -> dict[str, ColumnType]:
    """The columns of the predictions topic, in order (docs/architecture.md)."""
    own: dict[str, ColumnType] = {
        "_id": ColumnType("str"),
        "_t": ColumnType("int"),
        "_made": ColumnType("int"),
        "_model": ColumnType("str"),
        "_prediction": ColumnType("float"),
        "_unknown": ColumnType("bool"),
    }
    features = {f"feature__{feature.name}": feature.type for feature in declaration.features}
    return {**own, **declaration.request, **features}


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
        return {place: encode_block(self._table(part), self._schema_id, now) for place, part in found.items()}

    def _table(self, rows: Sequence[Logged]) -> pa.Table:
        arrays = {}
        for name, kind in self._columns.items():
            try:
                arrays[name] = pa.array([row.get(name) for row in rows], kind.arrow)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ServingError(
                    f"prediction log, column {name}",
                    f"it is declared {kind}: {error}",
                    "start the server with the declaration that made these predictions, or move the segments away",
                ) from error
        return pa.table(arrays)


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
            fields = [{"name": name, "type": kind.avro} for name, kind in self._stream.columns.items()]
            schema = {"type": "record", "name": self._stream.title, "fields": fields}
            registered = self._schemas.register(f"{self.topic}-value", schema)
        contents: dict[int, Content] = {}
        for place, part in _partitioned(rows, self._stream.key, partitions).items():
            events = [{name: row.get(name) for name in self._stream.columns} for row in part]
            values = encode_records(events, registered.schema, registered.id)
            keys = [_key(event, self._stream.key) for event in events]
            arrivals = [self._arrival(_whole(row["_t"])) for row in part]
            contents[place] = Framed.of(
                [
                    Record(key, value, arrival=arrival)
                    for key, value, arrival in zip(keys, values, arrivals, strict=True)
                ],
                self._now(),
            )
        return contents


def append_time(t: int) -> None:
    """Live: an event arrives when it is appended."""


def prediction_time(t: int) -> int:
    """Under replay: an event arrives at the t of its prediction."""
    return t


class Sender:
    """Moves what the server logged in `folder` to the topics. One a folder.

    now: ms. arrival: `append_time` when live, `prediction_time` under replay. LogError where another process is the
    writer of the role `serve`.
    """

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        folder: Path,
        *,
        partitions: int,
        now: Callable[[], int],
        arrival: Callable[[int], int | None] = append_time,
    ) -> None:
        self._log = log
        self._folder = Path(folder)
        self._writer = log.writer(ROLE)
        self._lock = threading.Lock()
        self._corrupt: set[Path] = set()
        self.problem: str | None = None
        """Why the last attempt failed."""
        predictions = Predictions(declaration, schemas, now)
        log.create(Topic(predictions.topic, ROLE, partitions))
        self._predictions = predictions.topic
        self._destinations: list[Destination] = [predictions]
        if isinstance(declaration.label.examples, Each):
            self._destinations.append(Events(declaration.example_stream, schemas, now, arrival))
        self._owners = {to.topic: self._owner(to.topic, partitions) for to in self._destinations}
        self._places: dict[str, Place] = {to.topic: self._kept(to.topic) for to in self._destinations}

    def ship(self) -> int:
        """Ships some of what waits; how many predictions moved. HeadraceError where a topic does not take them."""
        with self._lock:
            moved = [self._ship(destination) for destination in self._destinations]
            self._clean()
            return max(moved)

    def mark(self, time: int) -> None:
        """Under replay: ships all that waits, then writes the mark to the predictions topic. Twice is once."""
        with self._lock:
            for destination in self._destinations:
                while self._ship(destination):
                    pass
            self._clean()
            passed = self._log.committed(ROLE).mark
            if passed is None or passed < time:
                with self._writer.transaction() as transaction:
                    for partition in range(self._log.topic(self._predictions).partitions):
                        transaction.append(self._predictions, partition, Mark(time))
                    transaction.commit({}, time)

    def run(self, stop: threading.Event, idle: float = 0.005, pause: float = 1.0) -> None:
        """Ships until told to stop, and then what is left. After a failure it tries again in `pause` seconds."""
        while not stop.is_set():
            if self._try() == 0:
                stop.wait(pause if self.problem else idle)
        while self._try():
            pass

    def unshipped(self) -> int:
        """Bytes that wait for the slowest destination."""
        waiting = []
        for number, begin in self._places.values():
            files = [(path, number_of(path)) for path in segments(self._folder)]
            sizes = [_size(path) - (begin if found == number else 0) for path, found in files if found >= number]
            waiting.append(sum(sizes))
        return max(waiting)

    def close(self) -> None:
        self._writer.close()

    def _try(self) -> int:
        try:
            moved = self.ship()
        except HeadraceError as error:
            if str(error) != self.problem:
                _LOG.error("predictions wait on disk: %s", error)
            self.problem = str(error)
            return 0
        self.problem = None
        return moved

    def _ship(self, destination: Destination) -> int:
        """One transaction: what a destination's topic lacks, from one segment."""
        place, frames = self._next(self._places[destination.topic])
        if frames.rows:
            topic = self._log.topic(destination.topic)
            contents = destination.contents(frames.rows, topic.partitions)
            self._commit(destination.topic, contents, place)
        self._places[destination.topic] = place
        return len(frames.rows)

    def _commit(self, topic: str, contents: Mapping[int, Content], place: Place) -> None:
        def fill(transaction: Transaction) -> None:
            for partition, content in sorted(contents.items()):
                transaction.append(topic, partition, content)
            transaction.keep(_name(topic), json.dumps(place).encode())

        owner = self._owners[topic]
        if owner == ROLE:
            with self._writer.transaction() as transaction:
                fill(transaction)
            return
        writer = self._log.writer(owner)  # a moment's right to write, shared with the stream's other producers
        try:
            with writer.transaction() as transaction:
                fill(transaction)
        finally:
            writer.close()

    def _next(self, place: Place) -> tuple[Place, Frames]:
        """The next frames behind a place, from the first segment that has some, and the place after them."""
        found = [(number_of(path), path) for path in segments(self._folder)]
        frames = Frames([], place[1], False)
        for number, path in (pair for pair in found if pair[0] >= place[0]):
            begin = place[1] if number == place[0] else 0
            frames = read_frames(path, begin)
            place = number, frames.end
            if frames.corrupt:
                self._corrupt.add(path)
            if frames.rows:
                break
        return place, frames

    def _clean(self) -> None:
        """Deletes what all destinations have behind them; a segment with a corrupt frame is set aside instead."""
        done = min(number for number, _ in self._places.values())
        for path in segments(self._folder):
            if number_of(path) >= done:
                break
            if path in self._corrupt:
                path.rename(path.with_suffix(".corrupt"))
                _LOG.error("%s holds bytes that are not predictions: set aside", path)
            else:
                path.unlink()

    def _owner(self, topic: str, partitions: int) -> str:
        known = {found.name: found.owner for found in self._log.topics()}
        if topic not in known:
            self._log.create(Topic(topic, ROLE, partitions))
        return known.get(topic, ROLE)

    def _kept(self, topic: str) -> Place:
        owner = self._owners[topic]
        writer: Writer = self._writer if owner == ROLE else self._log.writer(owner)
        try:
            kept = writer.kept(_name(topic))
        finally:
            if writer is not self._writer:
                writer.close()
        number, begin = (0, 0) if kept is None else json.loads(kept)
        return int(number), int(begin)


def _name(topic: str) -> str:
    return f"{ROLE}/{topic}"


def _size(path: Path) -> int:
    return path.stat().st_size


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
