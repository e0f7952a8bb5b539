"""The online store's contract: an entity's recent tiles and attributes.

Every adapter passes tests/contracts/test_online_store.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from headrace.declare.declaration import View
from headrace.features.partials import Partial
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
    listed tile at all (before its first known event). rows: for each attribute the row, with
    `_valid`, or None. newest: the newest event time of the tiles read, ms.
    """

    partials: list[Partial | None]
    rows: list[Mapping[str, Any] | None]
    newest: int | None
    mark: int | None


class OnlineStore(Protocol):
    """Holds the tiles of the listed epochs and the newest version of each table row."""

    def position(self) -> Positions: ...

    def mark(self) -> int | None: ...

    def apply(
        self, tiles: pa.Table | None, changes: Mapping[str, pa.Table], positions: Positions, mark: int | None
    ) -> None:
        """Applies tiles and table changes (by table title) and remembers the position, all or nothing.

        Tiles replace those of the same (view, key, hop, epoch); applied twice is applied once.
        """
        ...

    def read(self, ranges: Sequence[TileRange], attributes: Sequence[tuple[str, str]]) -> Reading:
        """Reads ranges of tiles, and attributes by (table title, key text)."""
        ...

    def expire(self, before: Mapping[str, int]) -> int:
        """Drops the tiles of each view id whose hop starts before the given ms; how many."""
        ...

    def close(self) -> None: ...
