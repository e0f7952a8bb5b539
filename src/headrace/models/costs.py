"""Costs: what each error of a classification costs, example by example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.cost import Cost

Vector = npt.NDArray[np.float64]

PER: Final = 1_000
"""Costs are told per so many examples."""


@dataclass(frozen=True, eq=False)
class Costs:
    """What a missed positive and a false alarm cost at each example."""

    missed: Vector
    false_alarm: Vector

    @classmethod
    def of(cls, cost: Cost, examples: pa.Table) -> Costs:
        """From the request's columns. What is null, not a number or below 0 counts as 0: no check has seen it."""
        return cls(*(_side(given, examples) for given in (cost.missed, cost.false_alarm)))

    def told(self, label: Any, decision: Any) -> float | None:
        """Per 1,000 examples, of decisions beside the truth (both true or false, or 1 or 0); None of no example.

        >>> costs = Costs(np.array([30.0, 30.0, 30.0]), np.array([5.0, 5.0, 5.0]))
        >>> costs.told([1, 1, 0], [True, False, True]) == 1_000 * (30 + 5) / 3
        True
        """
        truth, decided = np.asarray(label, np.bool_), np.asarray(decision, np.bool_)
        if not len(truth):
            return None
        paid = np.where(truth & ~decided, self.missed, 0.0) + np.where(~truth & decided, self.false_alarm, 0.0)
        return float(PER * paid.mean())


def _side(given: float | str, examples: pa.Table) -> Vector:
    if not isinstance(given, str):
        return np.full(examples.num_rows, given)
    column = examples.column(given).cast(pa.float64()).to_numpy()
    return np.where(np.isfinite(column) & (column > 0), column, 0.0)
