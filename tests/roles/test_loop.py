"""A role's loop: no rest while there is work, ever longer rests while there is none."""

from __future__ import annotations

import logging
import threading
from typing import Any

from headrace.roles.context import Context


class Rests(threading.Event):
    """Notes how long it was waited for, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.rests.append(timeout or 0.0)
        return self.is_set()


def test_a_role_rests_the_longer_the_longer_it_had_nothing_to_do() -> None:
    stop = Rests()
    unused: Any = None
    context = Context("r", unused, unused, unused, unused, unused, stop, logging.getLogger())
    work = iter([3, 1, *[0] * 40, 5, 0, 0])
    seen = []

    def step() -> int:
        count = next(work, None)
        if count is None:
            stop.set()
            return 1
        seen.append((count, len(stop.rests)))
        return count

    context.loop(step)
    assert [rests for count, rests in seen if count] == [0, 0, 40]
    assert stop.rests[:40] == sorted(stop.rests[:40])
    assert (stop.rests[0], stop.rests[39]) == (0.004, 0.05)
    assert stop.rests[40:] == [0.004, 0.004]
