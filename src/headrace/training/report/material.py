"""What the sections of a report draw on: bounded samples of both parts, and what is predicted of the holdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.models.artifact import Artifact, Spec
from headrace.models.comparison import predictions
from headrace.models.encoding import Matrix
from headrace.training.gates.evidence import spread

Vector = npt.NDArray[np.float64]
Predict = Callable[[Matrix], Vector]
Contributions = Callable[[Matrix], Matrix]
"""Of a matrix (rows, columns): (rows, columns + 1) numbers that sum to each prediction, the base last."""

SAMPLE: Final = 20_000
"""At most so many examples of each part, at even distances in time."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some examples: table as drawn, matrix as the model gets it, label; all: how many they stand for."""

    table: pa.Table
    matrix: Matrix
    label: Vector
    all: int

    @classmethod
    def of(cls, spec: Spec, table: pa.Table) -> Part:
        chosen = table.take(spread(table.num_rows, SAMPLE))
        label = chosen.column("label").cast(pa.float64()).to_numpy()
        return cls(chosen, spec.encoding.table_matrix(chosen), label, table.num_rows)

    @property
    def times(self) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = self.table.column("t").to_numpy()
        return found


@dataclass(frozen=True, eq=False)
class Material:
    """facts: of the dataset. judged: the report of `evaluate`. rivals: predictions of the holdout's sample, by
    name, the model's own first; NaN where one has none. threshold: from which on a condition is said to hold.
    """

    spec: Spec
    facts: Mapping[str, Any]
    judged: Mapping[str, Any]
    train: Part
    holdout: Part
    rivals: Mapping[str, Vector]
    predict: Predict
    contributions: Contributions | None
    threshold: float

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        champion: Artifact | None,
        train: pa.Table,
        holdout: pa.Table,
        facts: Mapping[str, Any],
        judged: Mapping[str, Any],
    ) -> Material:
        """champion: None where there is none, or it is not loaded."""
        spec = artifact.spec
        held = Part.of(spec, holdout)
        rivals = {"model": artifact.predict_table(held.table)}
        theirs = None if champion is None else predictions(champion, held.table)
        if theirs is not None:
            rivals["champion"] = theirs
        rivals["naive"] = held.table.column("naive").cast(pa.float64()).to_numpy()
        chosen = getattr(spec, "threshold", None)
        return cls(
            spec,
            facts,
            judged,
            Part.of(spec, train),
            held,
            rivals,
            lambda matrix: np.asarray(artifact.predictor.predict(matrix), dtype=np.float64),
            getattr(artifact.predictor, "contributions", None),
            0.5 if chosen is None else float(chosen.value),
        )

    @property
    def loss(self) -> str:
        """What is shown of an error: its mean is the metric of this name."""
        return "MAE" if self.spec.task == "regression" else "log loss"

    def losses(self, predicted: Vector, label: Vector | None = None) -> Vector:
        """One loss an example."""
        y = self.holdout.label if label is None else label
        if self.spec.task == "regression":
            return np.abs(predicted - y)
        safe = np.clip(predicted, 1e-15, 1 - 1e-15)
        return np.where(y == 1, -np.log(safe), -np.log1p(-safe))
