"""Folds over runs of an array of events: many runs at once, each `[left, right)`, by the merge of a family.

A fold never subtracts rounded sums: whole numbers are prefix sums (exact), everything else is a segment tree,
whose cost grows with the logarithm of a run, so that hot keys are as cheap as others, and whose sums are
pairwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Slots = tuple[npt.NDArray[Any], ...]

LOWEST: Final = np.iinfo(np.int64).min
HIGHEST: Final = np.iinfo(np.int64).max


class Fold(Protocol):
    """Partials of runs, as one array for each slot; `merge` gives those of two runs taken together."""

    def runs(self, left: Ints, right: Ints) -> Slots: ...

    def merge(self, one: Slots, other: Slots, /) -> Slots: ...


class WholeSums:
    """Exact sums of int64: slots n, high and low; the sum is `high * 2**32 + low`, which may leave 64 bits."""

    def __init__(self, values: Ints, known: npt.NDArray[np.bool_]) -> None:
        values = np.where(known, values, 0)
        self._prefixes = [_prefix(known.astype(np.int64)), _prefix(values >> 32), _prefix(values & 0xFFFFFFFF)]

    def runs(self, left: Ints, right: Ints) -> Slots:
        return tuple(prefix[right] - prefix[left] for prefix in self._prefixes)

    def merge(self, one: Slots, other: Slots, /) -> Slots:
        return _sum(one, other)


class Tree:
    """A segment tree over events.

    leaves: the partial of each event, one array for each slot; identity: that of no event. merge: associative.
    """

    def __init__(self, leaves: Slots, identity: tuple[float, ...], merge: Callable[[Slots, Slots], Slots]) -> None:
        self.merge = merge
        self._identity = identity
        self._levels = [leaves]
        while len(leaves[0]) > 1:
            if len(leaves[0]) % 2:
                leaves = tuple(
                    np.append(slot, slot.dtype.type(one)) for slot, one in zip(leaves, identity, strict=True)
                )
                self._levels[-1] = leaves
            leaves = merge(tuple(slot[0::2] for slot in leaves), tuple(slot[1::2] for slot in leaves))
            self._levels.append(leaves)

    def runs(self, left: Ints, right: Ints) -> Slots:
        found = tuple(
            np.full(len(left), one, slot.dtype) for slot, one in zip(self._levels[0], self._identity, strict=True)
        )
        active = np.flatnonzero(left < right)
        left, right = left[active], right[active]
        for level in self._levels:
            if not len(active):
                break
            odd = (left & 1).astype(bool)
            self._take(found, level, active[odd], left[odd])
            left = (left + 1) >> 1
            odd = (right & 1).astype(bool)
            self._take(found, level, active[odd], right[odd] - 1)
            right = right >> 1
            going = left < right
            if not going.all():
                active, left, right = active[going], left[going], right[going]
        return found

    def _take(self, found: Slots, level: Slots, runs: Ints, nodes: Ints) -> None:
        merged = self.merge(tuple(slot[runs] for slot in found), tuple(slot[nodes] for slot in level))
        for slot, new in zip(found, merged, strict=True):
            slot[runs] = new


def whole_sums(values: Ints, known: npt.NDArray[np.bool_]) -> Fold:
    return WholeSums(values, known)


def float_sums(values: Floats, known: npt.NDArray[np.bool_]) -> Fold:
    """Slots n and the sum."""
    return Tree((known.astype(np.int64), np.where(known, values, 0.0)), (0, 0.0), _sum)


def extremes(values: Ints | Floats, known: npt.NDArray[np.bool_]) -> Fold:
    """Slots n, the least and the greatest."""
    low, high = (LOWEST, HIGHEST) if values.dtype == np.int64 else (-np.inf, np.inf)
    leaves = known.astype(np.int64), np.where(known, values, high), np.where(known, values, low)
    return Tree(leaves, (0, high, low), _extremes)


def moments(values: Floats, known: npt.NDArray[np.bool_]) -> Fold:
    """Slots n, the mean, and M2, the sum of squared deviations from it."""
    leaves = known.astype(np.float64), np.where(known, values, 0.0), np.zeros(len(values))
    return Tree(leaves, (0.0, 0.0, 0.0), _moments)


def _prefix(values: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])


def _sum(one: Slots, other: Slots) -> Slots:
    return tuple(left + right for left, right in zip(one, other, strict=True))


def _extremes(one: Slots, other: Slots) -> Slots:
    return one[0] + other[0], np.minimum(one[1], other[1]), np.maximum(one[2], other[2])


def _moments(one: Slots, other: Slots) -> Slots:
    """Chan, Golub and LeVeque (1979); of nothing it is zeros, which merge without a case of their own."""
    n = one[0] + other[0]
    delta = other[1] - one[1]
    share = other[0] / np.maximum(n, 1.0)
    return n, one[1] + delta * share, one[2] + other[2] + delta * delta * one[0] * share
