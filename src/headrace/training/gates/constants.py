"""Constants: a feature with one value only says nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headrace.training.gates.evidence import Evidence
from headrace.training.gates.finding import Finding


def constants(evidence: Evidence) -> Iterator[Finding]:
    """A value beside nulls is two, and nothing but nulls is told by the gate `nulls`."""
    for index, column in enumerate(evidence.encoding.columns):
        values = evidence.train.matrix[:, index]
        if len(values) and (values == values[0]).all():
            value = f"{values[0]:g}" if column.levels is None else repr(column.levels[int(values[0])])
            count = len(np.unique(evidence.holdout.matrix[:, index]))
            yield Finding(
                "constants",
                column.name,
                f"it is {value} in all {len(values):,} examples of training",
                {"examples": len(values), "values": 1, "values_in_holdout": count},
            )
