"""The loop of a role: it rests when there is nothing to do, longer and longer, and not when there is."""

from __future__ import annotations

from typing import Any

from headrace.roles.context import Context


class Rests:
    """A stop that keeps how long it was waited for, and is set after so many."""

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self.seconds: list[float] = []

    def is_set(self) -> bool:
        return len(self.seconds) >= self._enough

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_rests_grow_to_a_limit_and_begin_anew_after_work() -> None:
    stop: Any = Rests(30)
    nothing: Any = None
    steps = iter([0] * 20 + [3, 1] + [0] * 10)
    Context("tile", nothing, nothing, nothing, nothing, nothing, stop, nothing).loop(lambda: next(steps))
    first, second = stop.seconds[:20], stop.seconds[20:]
    assert first == sorted(first)
    assert first[-2:] == [0.02, 0.02]
    assert second == first[:10]
