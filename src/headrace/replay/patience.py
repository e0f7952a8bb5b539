"""Waiting for roles: as long as anything moves, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.errors import RoleError

PATIENCE: Final = 300.0
"""Seconds for which nothing may move, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at roles found: which are behind, what changes as they move, and why they are behind."""

    behind: Sequence[str]
    state: object
    reason: str = "no progress"


class Patience:
    """Gives up when for so many seconds nothing moved.

    seconds: of no progress. idle: seconds between two looks. work: what changes while a role works on something
    that its commits do not show, such as a training.
    """

    def __init__(
        self, seconds: float = PATIENCE, idle: float = 0.005, work: Callable[[], object] = lambda: None
    ) -> None:
        self.seconds = seconds
        self._idle = idle
        self._work = work

    def wait(self, subject: str, look: Callable[[], Look]) -> None:
        """Looks until no role is behind. RoleError names those that are."""
        last, work, moved = None, self._work(), time.monotonic()
        while (found := look()).behind:
            if found.state != last:
                last, moved = found.state, time.monotonic()
            elif time.monotonic() - moved > self.seconds:
                before, work, moved = work, self._work(), time.monotonic()
                if work == before:
                    raise self._lost(subject, found)
            time.sleep(self._idle)

    def _lost(self, subject: str, found: Look) -> RoleError:
        names = ", ".join(found.behind)
        return RoleError(
            subject,
            f"{names}: {found.reason} for {self.seconds:g} s",
            f"see the log of {names}, and that `headrace up --marks` runs; then replay again, which goes on here "
            "(with a longer --patience where it was only slow)",
        )
