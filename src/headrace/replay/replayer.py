"""The replayer: recorded streams through the real roles, at any speed, with the same results.

For each step T: the events that arrived before T and a mark T go into every raw topic; when enrich, tile, tables
and online have passed T, the requests due at T are asked over HTTP; then T is closed, and when archive and monitor
have passed it too, the next step begins. Nothing is left to chance: within a step no two roles race for a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from headrace.declare.declaration import Declaration
from headrace.declare.label import Each
from headrace.declare.topics import Topics
from headrace.errors import RoleError
from headrace.log.batches import Mark
from headrace.log.clock import CLOSED, OPENED, MarkClock
from headrace.log.contract import Log, Topic
from headrace.log.turns import transaction_in_turn
from headrace.replay.feed import Feed
from headrace.replay.patience import Look, Patience
from headrace.schema.contract import Schemas
from headrace.stream.producer import ROLE, Producer

BEFORE_REQUESTS = ("enrich", "tile", "tables", "online")
BEFORE_NEXT_STEP = ("archive", "monitor")


class Asker(Protocol):
    """Asks for the predictions that are due at an instant; how many. Asked again, it asks the same."""

    def ask(self, since: int, at: int) -> int: ...


class Replayer:
    """Drives one replay."""

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        feeds: Mapping[str, Feed],
        asker: Asker,
        partitions: int,
        patience: Patience,
    ) -> None:
        self._log = log
        self._asker = asker
        self._patience = patience
        self._topic = Topics.of(declaration).clock
        examples = declaration.label.examples
        asked = examples.stream.title() if isinstance(examples, Each) else None
        self._feeds = {title: feed for title, feed in feeds.items() if title != asked}
        self._producers = {
            title: Producer(log, schemas, stream, partitions=partitions)
            for title, stream in declaration.streams.items()
        }
        log.create(Topic(self._topic, ROLE, 2))
        self._clock = MarkClock(log, self._topic)

    def run(self, marks: Sequence[int], after: Callable[[int, int, int], None] = lambda *_: None) -> None:
        """Takes every step; `after(T, events, requests)` is called when all roles have passed T.

        A replay that was interrupted goes on where it was, also with other marks: the step that was opened is ended
        first. RoleError where the marks would leave a gap after it, or a role makes no progress.
        """
        since, closed = self._clock.mark(), self._clock.closed()
        if since is not None:
            if marks[0] > since:
                raise RoleError(
                    "replay",
                    f"it came to {_text(since)} before, and what arrived until {_text(marks[0])} would be left out",
                    "begin at the same --from as before: it goes on where it was",
                )
            if closed != since or self._look(BEFORE_NEXT_STEP, since).behind:
                self._end(closed, since, 0, after)
        for mark in marks:
            if since is None or mark > since:
                self._end(since, mark, self._open(since, mark), after)
                since = mark

    def _open(self, since: int | None, mark: int) -> int:
        """Appends what arrived in `[since, mark)` and the mark, all or nothing; how many events."""
        events = 0
        with transaction_in_turn(self._log, ROLE) as transaction:
            for title, producer in self._producers.items():
                feed = self._feeds.get(title)
                if feed is not None and since is not None:
                    table, arrivals = feed.between(since, mark)
                    events += table.num_rows
                    producer.put_table(transaction, table, arrivals)
                producer.put_mark(transaction, mark)
            transaction.append(self._topic, OPENED, Mark(mark))
        return events

    def _end(self, since: int | None, mark: int, events: int, after: Callable[[int, int, int], None]) -> None:
        """Ends a step that is open: asks what is due and closes it, unless that was done."""
        self._wait(BEFORE_REQUESTS, mark)
        requests = 0
        if self._clock.closed() != mark:
            requests = self._asker.ask(mark if since is None else since, mark)
            with transaction_in_turn(self._log, ROLE) as transaction:
                transaction.append(self._topic, CLOSED, Mark(mark))
        self._wait(BEFORE_NEXT_STEP, mark)
        after(mark, events, requests)

    def _wait(self, roles: Sequence[str], mark: int) -> None:
        self._patience.wait(f"replay at {_text(mark)}", lambda: self._look(roles, mark))

    def _look(self, roles: Sequence[str], mark: int) -> Look:
        commits = {role: self._log.committed(role) for role in roles}
        behind = [role for role, commit in commits.items() if commit.mark is None or commit.mark < mark]
        return Look(behind, commits)


def _text(mark: int) -> str:
    return datetime.fromtimestamp(mark / 1000, UTC).isoformat()
