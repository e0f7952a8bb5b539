"""The online store's contract: an entity's recent tiles and attributes.

A read is one round trip: tiles are asked for by view, key and first hop, and of an attribute all versions that are
kept (features/versions.py), of which the reader picks that in force at t.

Every adapter passes tests/contracts/test_online_store.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from headrace.declare.declaration import View
from headrace.features.partials import Partial
from headrace.features.versions import Versions
from headrace.log.batches import Positions


@dataclass(frozen=True, slots=True)
class TileRange:
    """The tiles of one key of a view whose hop starts at `since` (ms) or later."""

    view: View
    key: str
    since: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read saw, all at one instant of the store.

    partials: for each range the merged partial; an empty one where no tile lies in it, None where the view has no
    listed tile at all (before its first known event). rows: for each attribute the row in force at t, with
    `_valid`, or None where there is none or it was deleted. newest: the newest event time of the tiles, and arrival
    of a change of the rows, that were read, ms: t is later. until: the last t (ms) at which the same rows are in
    force; None where no other version is known yet.
    """

    partials: list[Partial | None]
    rows: list[Mapping[str, Any] | None]
    newest: int | None
    until: int | None
    mark: int | None


class OnlineStore(Protocol):
    """Holds the tiles of the listed epochs, and of each table row the version in force and those dated ahead."""

    def position(self) -> Positions: ...

    def mark(self) -> int | None: ...

    def apply(
        self, tiles: pa.Table | None, changes: Mapping[str, pa.Table], positions: Positions, mark: int | None
    ) -> None:
        """Applies tiles and table changes (by table title) and remembers the position, all or nothing.

        Tiles replace those of the same (view, key, hop, epoch); applied twice is applied once.
        """
        ...

    def read(self, ranges: Sequence[TileRange], attributes: Sequence[tuple[str, str]], t: int) -> Reading:
        """Reads ranges of tiles, and attributes by (table title, key text) as they are in force at t (ms)."""
        ...

    def expire(self, before: Mapping[str, int]) -> int:
        """Drops the tiles of each view id whose hop starts before the given ms; how many."""
        ...

    def close(self) -> None: ...


def reading(
    partials: list[Partial | None],
    times: Iterable[int | None],
    versions: Iterable[str | None],
    t: int,
    mark: int | None,
) -> Reading:
    """The reading at t of what an adapter found.

    times: the newest event time of each range. versions: the text of each row's versions, None where there is none.
    """
    known = [None if text is None else Versions.load(text) for text in versions]
    in_force = [None if found is None else found.at(t) for found in known]
    seen = [*(time for time in times if time is not None), *(found.arrival for found in known if found is not None)]
    ends = [found.until for found in in_force if found is not None and found.until is not None]
    rows = [None if found is None else found.row for found in in_force]
    return Reading(partials, rows, max(seen, default=None), min(ends, default=None), mark)
