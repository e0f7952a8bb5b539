"""The older half of the holdout chooses the threshold; the newer half judges.

Both are newer than what the model fitted. No embargo lies between them: one number is chosen, and each example has
an outcome of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import TrainingError
from headrace.models.artifact import Artifact
from headrace.models.costs import Costs
from headrace.models.threshold import Threshold, cheapest


def decided(artifact: Artifact, held: pa.Table, predicted: npt.NDArray[np.float64]) -> tuple[Artifact, pa.Table]:
    """The model with its threshold, and the examples that may judge it: all, where no cost is declared.

    held: by t. TrainingError where the older half has examples of one class only, or the newer half has none.
    """
    cost = artifact.spec.cost
    if cost is None:
        return artifact, held
    times = held.column("t").to_numpy()
    count = int(np.searchsorted(times, times[0] + (times[-1] - times[0]) / 2, side="right"))
    older, newer = held.slice(0, count), held.slice(count)
    truth, p = older.column("label").to_numpy().astype(np.bool_), predicted[:count]
    if truth.all() or not truth.any():
        cause = f"{truth.sum():,} of the {count:,} examples that are to choose it are positive"
        raise TrainingError("threshold", cause, "lengthen retrain(holdout=...): its older half needs both classes")
    if not newer.num_rows:
        raise TrainingError("threshold", "no example is left to judge it", "lengthen retrain(holdout=...)")
    costs = Costs.of(cost, older)
    value = cheapest(truth, p, costs)
    threshold = Threshold(
        value=value,
        first=int(times[0]),
        last=int(times[count - 1]),
        examples=count,
        cost=costs.told(truth, p >= value) or 0.0,
        all_no=costs.told(truth, np.zeros(count)) or 0.0,
        all_yes=costs.told(truth, np.ones(count)) or 0.0,
    )
    return replace(artifact, spec=replace(artifact.spec, threshold=threshold)), newer
