"""Baselines: how a feature or a prediction was distributed at training, in bins, and the PSI against it.

The population stability index is `sum((q - p) ln(q / p))` over bins (Siddiqi 2006, Credit Risk Scorecards). Without
drift it is about chi-squared with bins - 1 degrees of freedom, times 1/n + 1/m (Yurdakul 2018): so few
observations in many bins look like drift, and rules need a minimum of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BINS: Final = 10
LEVELS: Final = 20

Counts = npt.NDArray[np.int64]
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Baseline:
    """Bins and the share of the training examples in each. Bin 0 is null (and NaN).

    edges: of a number; bin i is `edges[i - 2] <= value < edges[i - 1]`, open at both ends. levels: of a category;
    bin i is level i - 1, the last bin is every other. One of the two is None.

    >>> units = Baseline.of_numbers([1.0, 1.0, 2.0, None])
    >>> units.edges, units.shares
    ((0.5, 1.5, 2.5), (0.25, 0.0, 0.5, 0.25, 0.0))
    >>> units.bin(7), units.names[4]
    (4, '>= 2.5')
    """

    edges: tuple[float, ...] | None
    levels: tuple[str, ...] | None
    shares: tuple[float, ...]

    @classmethod
    def of_numbers(cls, values: Any) -> Baseline:
        """Ten bins with as many examples each; a bin a value where there are ten values or fewer."""
        numbers = _floats(values)
        known = np.unique(numbers[~np.isnan(numbers)])
        if len(known) > BINS:
            # `higher` gives edges that are observed values, the same on every machine.
            cuts = np.quantile(numbers[~np.isnan(numbers)], np.arange(1, BINS) / BINS, method="higher")
            edges = np.unique(cuts)
        else:
            edges = _between(known)
        return cls._shared(tuple(float(edge) for edge in edges), None, numbers)

    @classmethod
    def of_bools(cls, values: Any) -> Baseline:
        """Two bins, also where only one of them occurred."""
        return cls._shared((0.5,), None, _floats(values))

    @classmethod
    def of_levels(cls, values: Sequence[str | None]) -> Baseline:
        """The most frequent levels, at most twenty."""
        counted = Counter(value for value in values if value is not None)
        levels = sorted(counted, key=lambda level: (-counted[level], level))[:LEVELS]
        return cls._shared(None, tuple(levels), values)

    @classmethod
    def _shared(cls, edges: tuple[float, ...] | None, levels: tuple[str, ...] | None, values: Any) -> Baseline:
        counts = cls(edges, levels, ()).counts(values)
        total = max(int(counts.sum()), 1)
        return cls(edges, levels, tuple(float(count / total) for count in counts))

    @property
    def bins(self) -> int:
        return len(self.edges) + 2 if self.edges is not None else len(self.levels or ()) + 2

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {level: place + 1 for place, level in enumerate(self.levels or ())}

    def bin(self, value: Value) -> int:
        """The bin of one value: what a counter of served values is labelled with."""
        if value is None or value != value:
            return 0
        if self.edges is None:
            return self._places.get(str(value), self.bins - 1)
        return bisect_right(self.edges, float(value)) + 1

    def counts(self, values: Any) -> Counts:
        """How many values fall into each bin; int64, shape (bins,)."""
        if self.edges is None:
            places: Any = [self.bin(value) for value in values]
        else:
            numbers = _floats(values)
            places = np.where(np.isnan(numbers), 0, np.searchsorted(self.edges, numbers, side="right") + 1)
        return np.bincount(np.asarray(places, dtype=np.int64), minlength=self.bins).astype(np.int64)

    def psi(self, counts: Any) -> float:
        """The population stability index of counts of live values against this baseline."""
        return psi(self.shares, counts)

    @property
    def names(self) -> tuple[str, ...]:
        """A text for each bin."""
        if self.edges is None:
            return ("null", *(self.levels or ()), "other")
        inner = (f"{low:g} to {high:g}" for low, high in zip(self.edges, self.edges[1:], strict=False))
        if not self.edges:
            return ("null", "any")
        return ("null", f"< {self.edges[0]:g}", *inner, f">= {self.edges[-1]:g}")

    def to_json(self) -> dict[str, Any]:
        bins = {"edges": list(self.edges)} if self.edges is not None else {"levels": list(self.levels or ())}
        return {**bins, "shares": list(self.shares)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Baseline:
        edges = tuple(data["edges"]) if "edges" in data else None
        levels = tuple(data["levels"]) if "levels" in data else None
        return cls(edges, levels, tuple(data["shares"]))


def psi(expected: Sequence[float], counts: Any) -> float:
    """The PSI of counts against expected shares; equal shares give exactly 0, no counts give 0.

    Both sides get one observation a bin (Laplace), so that an empty bin is not an infinite drift.

    >>> psi([0.5, 0.5], [10, 10]), round(psi([0.5, 0.5], [20, 0]), 2)
    (0.0, 1.38)
    """
    actual = np.asarray(counts, dtype=np.float64)
    n, bins = float(actual.sum()), len(actual)
    p = (np.asarray(expected, dtype=np.float64) * n + 1) / (n + bins)
    q = (actual + 1) / (n + bins)
    return float(np.sum((q - p) * np.log(q / p)))


def _floats(values: Any) -> npt.NDArray[np.float64]:
    if isinstance(values, np.ndarray):
        return values.astype(np.float64)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _between(known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Edges around each of a few values, so that a new value falls outside."""
    if len(known) == 0:
        return known
    if len(known) == 1:
        return np.array([known[0], np.nextafter(known[0], np.inf)])
    middles = known[:-1] / 2 + known[1:] / 2
    first, last = known[0] - (middles[0] - known[0]), known[-1] + (known[-1] - middles[-1])
    return np.unique(np.concatenate([[first], middles, [last]]))
