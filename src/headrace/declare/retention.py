"""How long records are kept on the log and tiles in the store, in ms (docs/adr/0008)."""

from __future__ import annotations

from typing import Final

from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY

EVENTS: Final = 7 * DAY
"""Raw and enriched records: the archive has them for ever."""


def reach(declaration: Declaration) -> dict[str, int]:
    """How far back the tiles of each view (by id) may be read: its longest window, rounded out, and lateness."""
    found: dict[str, int] = {}
    for window in declaration.windows.values():
        stream = declaration.streams[window.view.stream]
        size = window.size + 2 * window.view.hop + stream.lateness + stream.skew
        found[window.view.id] = max(size, found.get(window.view.id, 0))
    return found
