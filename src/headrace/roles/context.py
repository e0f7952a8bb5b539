"""What every role's process is given: the declaration, the opened seams, a clock, and when to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headrace.declare.declaration import Declaration
from headrace.log.clock import Clock
from headrace.log.contract import Log
from headrace.profiles import Profile
from headrace.schema.contract import Schemas

IDLE: Final = 0.01
"""Seconds of rest when there is nothing to do."""
_RESTS: Final = (0.004, 0.02)
"""Seconds of the first rest of a loop and of the longest: each rest in a row is half as long again."""


@dataclass(frozen=True)
class Context:
    """One role's surroundings."""

    role: str
    declaration: Declaration
    profile: Profile
    log: Log
    schemas: Schemas
    clock: Clock
    stop: threading.Event
    say: logging.Logger

    @classmethod
    def of(cls, role: str, declaration: Declaration, profile: Profile) -> Context:
        log = profile.open_log()
        return cls(
            role,
            declaration,
            profile,
            log,
            profile.open_schemas(),
            profile.open_clock(declaration, log),
            threading.Event(),
            logging.getLogger(f"headrace.{role}"),
        )

    def loop(self, step: Callable[[], int]) -> None:
        """Steps until told to stop, resting when a step did nothing."""
        first, longest = _RESTS
        rest = first
        while not self.stop.is_set():
            if step():
                rest = first
            else:
                self.stop.wait(rest)
                rest = min(1.5 * rest, longest)
