"""Splits by time with an embargo: no trained label reaches into the holdout (Lopez de Prado 2018, ch. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from headrace.declare.duration import duration_text
from headrace.errors import TrainingError

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Split:
    """Which examples train and which judge; the rest is embargoed. cut: the holdout's first instant (ms)."""

    train: Mask
    holdout: Mask
    cut: int


def split(times: Times, holdout: int, embargo: int) -> Split:
    """Splits mature examples by their t (ms, any order).

    holdout: the examples within so many ms of the newest one. embargo: ms from an example until its label is final
    (`declaration.maturity`); training examples have `t + embargo <= cut`: nothing that a model learned was
    still open when the holdout began. Raises TrainingError when either side would be empty.

    >>> found = split(np.array([0, 10, 20, 30, 40]), holdout=15, embargo=10)
    >>> found.cut, found.train.tolist()
    (26, [True, True, False, False, False])
    >>> found.holdout.tolist()
    [False, False, False, True, True]
    """
    if holdout <= 0:
        raise TrainingError(
            "holdout", f"{holdout} ms is no span of time", "declare retrain(holdout='14d') or the like"
        )
    if not len(times):
        raise TrainingError(
            "training set",
            "it has no example whose label is final",
            f"wait until {duration_text(embargo)} after the first example, or bring history with headrace backfill",
        )
    newest = int(times.max())
    cut = newest - holdout + 1
    held = times >= cut
    train = (times + embargo <= cut) & ~held
    if not train.any():
        first = int(times.min())
        raise TrainingError(
            "training set",
            f"no example lies {duration_text(embargo)} before the holdout, which begins on {date(cut)}",
            f"train when labels are final up to {date(first + embargo + holdout - 1)} or later, "
            f"shorten the holdout of {duration_text(holdout)}, or bring older history with headrace backfill",
        )
    return Split(train, held, cut)


def date(moment: int) -> str:
    """A time in ms as UTC text to the minute.

    >>> date(0)
    '1970-01-01 00:00 UTC'
    """
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
