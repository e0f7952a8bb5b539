"""What gates look at: the two parts of a training set, as the model gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.declaration import Declaration, Task
from headrace.declare.duration import duration_text
from headrace.declare.waivers import Waiver
from headrace.models.encoding import Encoding, Matrix
from headrace.training.gates.finding import Finding
from headrace.training.gates.reach import reach

Vector = npt.NDArray[np.float64]

SAMPLE: Final = 50_000
"""At most so many examples of each part, at even distances in time, are looked at where it costs."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some examples. naive: the forecast without a model, NaN where there is none."""

    matrix: Matrix
    label: Vector
    naive: Vector

    @classmethod
    def of(cls, encoding: Encoding, table: pa.Table) -> Part:
        label, naive = (table.column(name).cast(pa.float64()).to_numpy() for name in ("label", "naive"))
        return cls(encoding.table_matrix(table), label, naive)

    def sample(self) -> Part:
        chosen = spread(len(self.label), SAMPLE)
        return Part(self.matrix[chosen], self.label[chosen], self.naive[chosen])


@dataclass(frozen=True, eq=False)
class Evidence:
    """span: ms from the first training example to the last. reaches: of each feature (`reach`)."""

    task: Task
    encoding: Encoding
    train: Part
    holdout: Part
    span: int
    reaches: Mapping[str, int]
    waivers: tuple[Waiver, ...] = ()

    @classmethod
    def of(cls, declaration: Declaration, train: pa.Table, holdout: pa.Table) -> Evidence:
        """Of the parts of a training set, each with at least one example."""
        encoding, times = Encoding.frozen(declaration.features, train), train.column("t").to_numpy()
        return cls(
            declaration.model.task,
            encoding,
            Part.of(encoding, train),
            Part.of(encoding, holdout),
            int(times.max() - times.min()),
            {feature.name: reach(declaration, feature) for feature in declaration.features},
            declaration.waivers,
        )

    def sample(self) -> Evidence:
        return replace(self, train=self.train.sample(), holdout=self.holdout.sample())

    def weighed(self, finding: Finding) -> Finding:
        """A finding with what stands against it. No age excuses a leak."""
        for waiver in self.waivers:
            if (waiver.gate, waiver.feature) == (finding.gate, finding.feature):
                finding = replace(finding, waived=waiver.because)
        needed = max(self.reaches[name] for name in (finding.feature, *finding.related))
        if finding.gate != "leakage" and self.span < needed:
            finding = replace(
                finding,
                young=f"training examples span {duration_text(self.span - self.span % 60_000)}, "
                f"and {duration_text(needed)} is what the feature reads of",
            )
        return finding


def spread(size: int, most: int) -> npt.NDArray[np.int64]:
    """The places of at most `most` of `size` rows, at even distances.

    >>> spread(10, 4).tolist(), spread(2, 4).tolist()
    ([0, 3, 6, 9], [0, 1])
    """
    return np.linspace(0, max(size - 1, 0), min(size, most)).round().astype(np.int64)
