"""Ships the prediction log to the topics, each prediction exactly once however often the process is killed.

How far each destination has come (segment and byte) is kept in the transaction that appends to its topic. A segment
that all destinations have behind them is deleted. Where examples are events, the event of each logged prediction is
published to the stream's raw topic the same way: after its prediction, so that it is never in its own history.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from headrace.declare.declaration import Declaration
from headrace.declare.label import Each
from headrace.declare.retention import EVENTS
from headrace.errors import HeadraceError
from headrace.log.batches import Content, Mark
from headrace.log.contract import Log, Topic, Transaction
from headrace.log.turns import transaction_in_turn
from headrace.schema.contract import Schemas
from headrace.serving.destinations import Destination, Events, Predictions
from headrace.serving.segment import Frames, aside, number_of, read_frames, segments, set_aside, sound
from headrace.stream.producer import ROLE as PRODUCERS

ROLE: Final = "serve"
_REST: Final = 3.0
_PATIENCE: Final = 1.0
"""Seconds to wait for a turn at the raw topic before that is told as a problem."""
_LOG: Final = logging.getLogger("headrace.serve")

Place = tuple[int, int]
"""A segment's number and a byte in it."""


def append_time(t: int) -> None:
    """Live: an event arrives when it is appended."""


def prediction_time(t: int) -> int:
    """Under replay: an event arrives at the t of its prediction."""
    return t


class Sender:
    """Moves what the server logged in `folder` to the topics. One a folder.

    now: ms. arrival: `append_time` when live, `prediction_time` under replay. LogError where another process is the
    writer of the role `serve`. Live, `run` ships all the time; under replay `follow` does, at the end of each step,
    so that the segments of a step that is open are all there.
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
        self.problem: str | None = None
        """Why the last attempt failed."""
        predictions = Predictions(declaration, schemas, now)
        log.create(Topic(predictions.topic, ROLE, partitions))
        self._predictions = predictions.topic
        self._destinations: list[Destination] = [predictions]
        if isinstance(declaration.label.examples, Each):
            events = Events(declaration.example_stream, schemas, now, arrival)
            if events.topic not in {topic.name for topic in log.topics()}:
                log.create(Topic(events.topic, PRODUCERS, partitions, EVENTS))
            self._destinations.append(events)
        self._places: dict[str, Place] = {to.topic: self._kept(to.topic) for to in self._destinations}
        if told := self.corrupt():
            _LOG.error("%s", told)

    def corrupt(self) -> str | None:
        """What was set aside because it holds bytes that are no predictions."""
        names = ", ".join(path.name for path in aside(self._folder))
        return (
            f"in {self._folder}, set aside as corrupt (move it away when you have seen it): {names}"
            if names
            else None
        )

    def ship(self) -> int:
        """Ships some of what waits; how many predictions moved. HeadraceError where a topic does not take them."""
        with self._lock:
            moved = [self._ship(destination) for destination in self._destinations]
            self._clean()
            return max(moved)

    def mark(self, time: int) -> None:
        """Under replay: ships all that waits, then writes the mark to the predictions topic. Twice is once.

        What was logged after the mark belongs to a step that is open, and waits for the next one.
        """
        with self._lock:
            passed = self._log.committed(ROLE).mark
            if passed is not None and passed >= time:
                return
            self._drain()
            with self._writer.transaction() as transaction:
                for partition in range(self._log.topic(self._predictions).partitions):
                    transaction.append(self._predictions, partition, Mark(time))
                transaction.commit({}, time)

    def _drain(self) -> None:
        for destination in self._destinations:
            while self._ship(destination):
                pass
        self._clean()

    def run(self, stop: threading.Event, idle: float = 0.05, pause: float = 1.0) -> None:
        """Ships every `idle` seconds until told to stop, and then what is left. After a failure it tries again in
        `pause` seconds. Much of the work is by the part and not by the row: so it rests for a multiple of the time
        that the last part took, and parts grow with the load."""
        while not stop.is_set():
            began = time.monotonic()
            self._try()
            stop.wait(pause if self.problem else max(idle, _REST * (time.monotonic() - began)))
        while self._try():
            pass

    def follow(
        self, closed: Callable[[], int | None], stop: threading.Event, idle: float = 0.01, pause: float = 1.0
    ) -> None:
        """Ships at each closed mark until told to stop. After a failure it tries again in `pause` seconds."""
        passed: int | None = None
        while not stop.is_set():
            with self._telling():
                mark = closed()
                if mark is not None and mark != passed:
                    self.mark(mark)
                    passed = mark
            stop.wait(pause if self.problem else idle)

    def unshipped(self) -> int:
        """Bytes that wait for the slowest destination."""
        waiting = []
        for number, begin in self._places.values():
            sizes = {number_of(path): _size(path) for path in segments(self._folder)}
            waiting.append(
                sum(size - begin * (found == number) for found, size in sizes.items() if found >= number)
            )
        return max(waiting)

    def close(self) -> None:
        self._writer.close()

    def _try(self) -> int:
        moved = 0
        with self._telling():
            moved = self.ship()
        return moved

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tells a failure instead of raising it: what was not shipped waits on disk."""
        try:
            yield
        except (HeadraceError, OSError) as error:
            if str(error) != self.problem:
                _LOG.error("predictions wait on disk: %s", error)
            self.problem = str(error)
        else:
            self.problem = None

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

        if topic == self._predictions:
            with self._writer.transaction() as transaction:
                fill(transaction)
        else:
            with transaction_in_turn(self._log, PRODUCERS, _PATIENCE) as transaction:
                fill(transaction)

    def _next(self, place: Place) -> tuple[Place, Frames]:
        """The next frames behind a place, from the first segment that has some, and the place after them."""
        found = [(number_of(path), path) for path in segments(self._folder)]
        frames = Frames([], place[1], False)
        for number, path in (pair for pair in found if pair[0] >= place[0]):
            begin = place[1] if number == place[0] else 0
            frames = read_frames(path, begin)
            place = number, frames.end
            if frames.rows:
                break
        return place, frames

    def _clean(self) -> None:
        """Deletes what all destinations have behind them; a segment with a corrupt frame is set aside instead."""
        done = min(number for number, _ in self._places.values())
        for path in segments(self._folder):
            if number_of(path) >= done:
                break
            if sound(path):
                path.unlink()
            else:
                _LOG.error("%s holds bytes that are not predictions: set aside as %s", path, set_aside(path).name)

    def _kept(self, topic: str) -> Place:
        if topic == self._predictions:
            kept = self._writer.kept(_name(topic))
        else:
            with self._log.turn(PRODUCERS) as writer:
                kept = writer.kept(_name(topic))
        number, begin = (0, 0) if kept is None else json.loads(kept)
        return int(number), int(begin)


def _name(topic: str) -> str:
    return f"{ROLE}/{topic}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # shipped and deleted meanwhile
        return 0
