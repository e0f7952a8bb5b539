"""Partials: what a tile holds, how two merge, and how a window feature's value is made of one."""

from __future__ import annotations

from dataclasses import dataclass

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Partial:
    """The mergeable state of one family over some events; slots as docs/architecture.md lays them out.

    n: how many events. a, b: the two slots. a_at, a_id, b_at, b_id: order of first and last.
    """

    n: int
    a: Scalar = None
    b: Scalar = None
    a_at: int | None = None
    a_id: str | None = None
    b_at: int | None = None
    b_id: str | None = None


EMPTY = Partial(0)
