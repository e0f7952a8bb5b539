"""The threshold: the probability from which on a classification says yes, chosen by what its errors cost.

It is chosen on examples that the model did not fit, by what happened at each cut, and not by the closed form
`false_alarm / (false_alarm + missed)` (Elkan 2001): that holds for calibrated probabilities only, and a model that
weights the rare class is not calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.models.costs import Costs, Vector


@dataclass(frozen=True)
class Threshold:
    """What is at least `value` is decided yes.

    first, last: the t of the examples that chose it (ms), `examples` of them. cost: on these, per 1,000; beside it
    what it would be if every answer were no, and if every answer were yes.
    """

    value: float
    first: int
    last: int
    examples: int
    cost: float
    all_no: float
    all_yes: float


def cheapest(label: Any, probability: Any, costs: Costs) -> float:
    """The threshold of the lowest total cost; among equal ones the highest, so that fewer alarms are raised.

    It lies midway between two probabilities that occurred. ValueError without an example.

    >>> costs = Costs(np.full(4, 30.0), np.full(4, 5.0))
    >>> cheapest([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.8], costs)
    0.15000000000000002
    """
    truth, p = np.asarray(label, np.bool_), np.asarray(probability, np.float64)
    if not len(p):
        raise ValueError("no example")
    order = np.argsort(-p, kind="stable")
    truth, p = truth[order], p[order]
    # Of k alarms, on the k most probable; only between two different probabilities is there a cut.
    alarms = np.concatenate([[0.0], np.cumsum(np.where(truth, 0.0, costs.false_alarm[order]))])
    missed = np.where(truth, costs.missed[order], 0.0)
    total = alarms + np.concatenate([np.cumsum(missed[::-1])[::-1], [0.0]])
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(p)) + 1, [len(p)]])
    best = int(cuts[np.argmin(total[cuts])])
    return _between(p, best)


def _between(falling: Vector, count: int) -> float:
    """A threshold that exactly the first `count` reach."""
    lower = float(falling[count]) if count < len(falling) else 0.0
    upper = float(falling[count - 1]) if count else 1.0
    if not count and lower >= 1.0:
        return math.nextafter(lower, math.inf)
    middle = lower + (upper - lower) / 2
    return middle if lower < middle else upper
