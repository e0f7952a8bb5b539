"""Who asks under replay: for each entity on the grid, or with each event of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.declare.label import Each, Grid
from headrace.declare.topics import Topics
from headrace.errors import MissingExtra, RoleError, SourceError
from headrace.features.examples import active_entities
from headrace.log.batches import Mark
from headrace.log.contract import Log
from headrace.replay.feed import Feed
from headrace.replay.patience import Look, Patience
from headrace.replay.steps import on_grid

if TYPE_CHECKING:
    from headrace.archive.delta import Archive

ROWS: Final = 1_000
"""Rows in one request."""


class Asking:
    """Posts rows to a server; every one must be answered, by the champion of that instant.

    champion: the version that the registry names.
    """

    def __init__(
        self, server: str, columns: Sequence[str], champion: Callable[[], str | None], patience: Patience
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("replay", "httpx", "serve") from error
        self._unreachable: type[Exception] = httpx.TransportError
        self._champion = champion
        self._client = httpx.Client(base_url=server, timeout=patience.seconds)
        self._columns = list(columns)
        self._patience = patience

    def post(self, table: pa.Table, at: int) -> int:
        """Asks for a prediction of each row, due at an instant (ms); how many.

        Requests are named by the instant and their first row, so that the server logs one that is asked twice once.
        """
        if table.num_rows:
            self._await_champion()
        for start in range(0, table.num_rows, ROWS):
            rows = [self._row(row) for row in table.slice(start, ROWS).select(self._columns).to_pylist()]
            self._ask({"rows": rows}, f"{at}/{start}")
        return int(table.num_rows)

    def close(self) -> None:
        self._client.close()

    def _ask(self, body: Mapping[str, Any], name: str) -> None:
        until = time.monotonic() + self._patience.seconds
        while True:
            try:
                answer = self._client.post("/predict", json=body, headers={"idempotency-key": name})
                break
            except self._unreachable as error:  # it ended meanwhile, and comes up again
                if time.monotonic() > until:
                    raise RoleError("server", f"it does not answer: {error}", "see the log of serve") from error
                self._await_champion()
        if answer.status_code != 200:
            raise RoleError("server", f"it answered {answer.status_code}: {answer.text[:500]}", "see its log")

    def _await_champion(self) -> None:
        """Waits until the server answers with the champion: under replay a promotion is no race."""
        champion = self._champion()
        if champion is None:
            raise RoleError("server", "there is no model to ask", "run headrace train first")

        def look() -> Look:
            try:
                answer = self._client.get("/model")
            except self._unreachable as error:
                return Look(["serve"], None, str(error))
            there = answer.status_code == 200 and str(answer.json()["version"]) == champion
            return Look([] if there else ["serve"], None, f"not version {champion}: {answer.text[:300]}")

        self._patience.wait("server", look)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _json(value) for name, value in row.items()}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return value


class GridAsker:
    """At each point of the grid, asks for every entity that is active."""

    def __init__(
        self, declaration: Declaration, log: Log, archive: Archive, asking: Asking, patience: Patience
    ) -> None:
        self._declaration = declaration
        self._log = log
        self._archive = archive
        self._asking = asking
        self._patience = patience
        self._topic = Topics.of(declaration).enriched(declaration.example_stream.title)

    def ask(self, since: int, at: int) -> int:
        examples = self._declaration.label.examples
        if not isinstance(examples, Grid) or not on_grid(self._declaration, at):
            return 0
        self._await_archive()
        columns = [*self._declaration.entity, "_time", "_arrival"]
        recent = self._archive.read(self._topic, columns=columns, where=pc.field("_time") >= at - examples.active)
        return self._asking.post(active_entities(self._declaration, recent, at), at)

    def _await_archive(self) -> None:
        """Waits until all records of the step are archived. (Its mark, the last in each partition, is not yet.)"""
        places = range(self._log.topic(self._topic).partitions)

        def look() -> Look:
            position = self._archive.position([self._topic])
            there = not any(self._waits(place, position.get((self._topic, place), 0)) for place in places)
            return Look([] if there else ["archive"], position)

        self._patience.wait("enriched records", look)

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
        return self._asking.post(table, at)


def asker(
    declaration: Declaration,
    log: Log,
    archive: Archive,
    feeds: Mapping[str, Feed],
    asking: Asking,
    patience: Patience,
) -> GridAsker | EventAsker:
    """The asker of a project's kind of examples. SourceError where the events to ask with are not given."""
    examples = declaration.label.examples
    if isinstance(examples, Each):
        title = examples.stream.title()
        if title not in feeds:
            raise SourceError(
                f"feed of {title}", "its events are the requests, and none are given", f"add --feed {title}=FILE"
            )
        return EventAsker(feeds[title], asking)
    return GridAsker(declaration, log, archive, asking, patience)
