"""Nulls: a feature that is hardly ever there, or is there no longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from headrace.training.gates.evidence import Evidence
from headrace.training.gates.finding import Finding

SHARE: Final = 0.95
"""Of the training examples: what one in twenty has may still matter, less is more often a broken join."""
RISE: Final = 0.3
"""From training to holdout. A share that falls is the rule: windows fill as history grows."""
ENOUGH: Final = 30
"""So many examples of the holdout before a rise is judged."""


def nulls(evidence: Evidence) -> Iterator[Finding]:
    train = np.isnan(evidence.train.matrix).mean(axis=0)
    holdout = np.isnan(evidence.holdout.matrix).mean(axis=0)
    unseen = _unseen(evidence)
    for index, name in enumerate(evidence.encoding.names):
        before, after = float(train[index]), float(holdout[index])
        numbers = {"train": before, "holdout": after}
        if before > SHARE:
            yield Finding(
                "nulls",
                name,
                f"it is null in {before:.1%} of training (limit {SHARE:.0%})",
                {**numbers, "limit": SHARE},
            )
        elif after - before > RISE and len(evidence.holdout.label) >= ENOUGH:
            what = "null or of an unseen level" if name in unseen else "null"
            yield Finding(
                "nulls",
                name,
                f"it is {what} in {after:.1%} of the holdout and in {before:.1%} of training "
                f"(limit: {RISE:.0%} more)",
                {**numbers, "limit": RISE},
            )


def _unseen(evidence: Evidence) -> set[str]:
    """A category's null may be a level that training has not: the model does not see a difference."""
    return {column.name for column in evidence.encoding.columns if column.levels is not None}
