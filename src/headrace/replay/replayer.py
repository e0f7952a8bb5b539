"""The replayer: recorded streams through the real roles, at any speed, with the same results.

For each step T: the events that arrived before T and a mark T go into every raw topic; when enrich, tile, tables
and online have passed T, the requests due at T are asked over HTTP; then T is closed, and when archive and monitor
have passed it too, the next step begins. Nothing is left to chance: within a step no two roles race for a result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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
from headrace.schema.contract import Schemas
from headrace.stream.producer import ROLE, Producer

BEFORE_REQUESTS = ("enrich", "tile", "tables", "online")
BEFORE_NEXT_STEP = ("archive", "monitor")


class Asker(Protocol):
    """Asks for the predictions that are due at an instant; how many."""

    def ask(self, since: int, at: int) -> int: ...


class Replayer:
    """Drives one replay.

    patience: seconds without progress of a role after which the replay gives up. idle: seconds between looks.
    """

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        feeds: Mapping[str, Feed],
        asker: Asker,
        partitions: int,
        patience: float = 120.0,
        idle: float = 0.002,
    ) -> None:
        self._log = log
        self._asker = asker
        self._patience = patience
        self._idle = idle
        self._clock = Topics.of(declaration).clock
        examples = declaration.label.examples
        asked = examples.stream.title() if isinstance(examples, Each) else None
        self._feeds = {title: feed for title, feed in feeds.items() if title != asked}
        self._producers = {
            title: Producer(log, schemas, stream, partitions=partitions)
            for title, stream in declaration.streams.items()
        }
        log.create(Topic(self._clock, ROLE, 2))

    def run(self, marks: Sequence[int], after: Callable[[int, int, int], None] = lambda *_: None) -> None:
        """Takes every step; `after(T, events, requests)` is called when all roles have passed T.

        A replay that was interrupted goes on where it was: a step's events and its marks are one transaction.
        """
        since = self._log.committed("monitor").mark
        opened = MarkClock(self._log, self._clock).mark()
        for mark in marks:
            if since is not None and mark <= since:
                continue
            events = 0 if opened is not None and mark <= opened else self._open(since, mark)
            self._wait(BEFORE_REQUESTS, mark)
            requests = self._asker.ask(mark if since is None else since, mark)
            with transaction_in_turn(self._log, ROLE) as transaction:
                transaction.append(self._clock, CLOSED, Mark(mark))
            self._wait(BEFORE_NEXT_STEP, mark)
            after(mark, events, requests)
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
            transaction.append(self._clock, OPENED, Mark(mark))
        return events

    def _wait(self, roles: Sequence[str], mark: int) -> None:
        last, moved = None, time.monotonic()
        while True:
            commits = {role: self._log.committed(role) for role in roles}
            behind = [role for role, commit in commits.items() if commit.mark is None or commit.mark < mark]
            if not behind:
                return
            if commits != last:
                last, moved = commits, time.monotonic()
            if time.monotonic() - moved > self._patience:
                raise RoleError(
                    f"replay at {mark}",
                    f"{', '.join(behind)} made no progress for {self._patience:.0f} s",
                    "see the role's log; `headrace status` shows how far each has come",
                )
            time.sleep(self._idle)
