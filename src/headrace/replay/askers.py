"""Who asks under replay: for each entity on the grid, or with each event of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration
from headrace.declare.label import Each, Grid
from headrace.declare.topics import Topics
from headrace.errors import MissingExtra, RoleError
from headrace.features.examples import active_entities
from headrace.log.batches import Mark
from headrace.log.contract import Log
from headrace.replay.feed import Feed
from headrace.replay.steps import on_grid

ROWS: Final = 1_000
"""Rows in one request."""


class Asking:
    """Posts rows to a server; every one must be answered, by the champion of that instant.

    champion: the version that the registry names. patience: seconds.
    """

    def __init__(
        self, server: str, columns: Sequence[str], champion: Callable[[], str | None], patience: float = 120.0
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("replay", "httpx", "serve") from error
        self._unreachable: type[Exception] = httpx.TransportError
        self._champion = champion
        self._client = httpx.Client(base_url=server, timeout=patience)
        self._columns = list(columns)
        self._patience = patience

    def post(self, table: pa.Table) -> int:
        """Asks for a prediction of each row; how many."""
        if table.num_rows:
            self._await_champion()
        for start in range(0, table.num_rows, ROWS):
            rows = [self._row(row) for row in table.slice(start, ROWS).select(self._columns).to_pylist()]
            answer = self._client.post("/predict", json={"rows": rows})
            if answer.status_code != 200:
                raise RoleError("server", f"it answered {answer.status_code}: {answer.text[:500]}", "see its log")
        return int(table.num_rows)

    def _await_champion(self) -> None:
        """Waits until the server answers with the champion: under replay a promotion is no race."""
        champion = self._champion()
        if champion is None:
            raise RoleError("server", "there is no model to ask", "run headrace train first")
        reason = "no answer"
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            try:
                answer = self._client.get("/model")
                if answer.status_code == 200 and str(answer.json()["version"]) == champion:
                    return
                reason = answer.text[:300]
            except self._unreachable as error:
                reason = str(error)
            time.sleep(0.02)
        raise RoleError("server", f"it does not answer with version {champion}: {reason}", "see the log of serve")

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _json(value) for name, value in row.items()}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return value


class GridAsker:
    """At each point of the grid, asks for every entity that is active."""

    def __init__(
        self, declaration: Declaration, log: Log, archive: Archive, asking: Asking, idle: float = 0.01
    ) -> None:
        self._declaration = declaration
        self._log = log
        self._archive = archive
        self._asking = asking
        self._idle = idle
        self._topic = Topics.of(declaration).enriched(declaration.example_stream.title)

    def ask(self, since: int, at: int) -> int:
        examples = self._declaration.label.examples
        if not isinstance(examples, Grid) or not on_grid(self._declaration, at):
            return 0
        self._await_archive()
        columns = [*self._declaration.entity, "_time", "_arrival"]
        recent = self._archive.read(self._topic, columns=columns, where=pc.field("_time") >= at - examples.active)
        return self._asking.post(active_entities(self._declaration, recent, at))

    def _await_archive(self) -> None:
        """Waits until all records of the step are archived. (Its mark, the last in each partition, is not yet.)"""
        places = range(self._log.topic(self._topic).partitions)
        until = time.monotonic() + 60.0
        while time.monotonic() < until:
            position = self._archive.position([self._topic])
            if not any(self._waits(place, position.get((self._topic, place), 0)) for place in places):
                return
            time.sleep(self._idle)
        raise RoleError("archive", "it did not catch up with the enriched records in 60 s", "see its log")

    def _waits(self, partition: int, offset: int) -> bool:
        """Whether records wait behind an offset, beside marks."""
        batches = self._log.read(self._topic, partition, offset, 1)
        return any(batch.count and not isinstance(batch.content, Mark) for batch in batches)


class EventAsker:
    """Asks with every event of the example stream that happened in the step."""

    def __init__(self, feed: Feed, asking: Asking) -> None:
        self._feed = feed
        self._asking = asking

    def ask(self, since: int, at: int) -> int:
        table, _ = self._feed.between(since, at)
        return self._asking.post(table)


def asker(
    declaration: Declaration, log: Log, archive: Archive, feeds: Mapping[str, Feed], asking: Asking
) -> GridAsker | EventAsker:
    """The asker of a project's kind of examples."""
    examples = declaration.label.examples
    if isinstance(examples, Each):
        return EventAsker(feeds[examples.stream.title()], asking)
    return GridAsker(declaration, log, archive, asking)
