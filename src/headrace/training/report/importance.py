"""Section: how much worse the model is when a feature's values are shuffled (Breiman 2001; Fisher et al. 2019).

The same for every kind of model, and on examples that it did not see. What one feature of a cluster loses the
others make up for, so that clusters are shuffled as a whole too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from headrace.training.gates.evidence import spread
from headrace.training.report.chart import Chart, axis, bars, names_axis, numbers
from headrace.training.report.material import Material
from headrace.training.report.redundancy import TOGETHER, Redundancy
from headrace.training.report.section import Section, Table, number

SAMPLE: Final = 2_000
REPEATS: Final = 3
SHOWN: Final = 30


def importances(material: Material, groups: Sequence[list[int]]) -> list[tuple[float, float]]:
    """The rise of the mean loss when the columns of a group are shuffled together: mean and spread over repeats."""
    chosen = spread(len(material.holdout.label), SAMPLE)
    matrix, label = material.holdout.matrix[chosen], material.holdout.label[chosen]
    base = float(material.losses(material.predict(matrix), label).mean())
    random = np.random.default_rng(material.spec.seed)
    orders = [random.permutation(len(chosen)) for _ in range(REPEATS)]
    found = []
    for group in groups:
        rises = []
        for order in orders:
            shuffled = matrix.copy()
            shuffled[:, group] = matrix[order][:, group]
            rises.append(float(material.losses(material.predict(shuffled), label).mean()) - base)
        found.append((float(np.mean(rises)), float(np.std(rises))))
    return found


def important(material: Material, redundancy: Redundancy) -> Section:
    names = material.spec.encoding.names
    singles = importances(material, [[place] for place in range(len(names))])
    order = sorted(range(len(names)), key=lambda place: -singles[place][0])[:SHOWN]
    shown, rises = [names[place] for place in order], [singles[place][0] for place in order]
    chart = Chart(
        f"Rise of {material.loss} when a feature is shuffled",
        "Bars of importance: " + ", ".join(f"{name} {rise:.3g}" for name, rise in zip(shown, rises, strict=True)),
        [bars(shown, rises, error_x={
            "type": "data", "array": numbers([singles[place][1] for place in order]), "thickness": 1, "width": 3,
        })],
        {"yaxis": names_axis(shown), "xaxis": axis(material.loss)},
        90 + 24 * len(shown),
        wide=True,
    )  # fmt: skip
    lead = (
        f"Permutation importance on {min(SAMPLE, len(material.holdout.label)):,} held-out examples, {REPEATS} "
        "times (the whiskers are their standard deviation). Below zero means that the feature did not help there."
    )
    return Section(
        "importance", "Importance and redundancy", [lead, chart, *_clustered(material, redundancy, singles)]
    )


def _clustered(
    material: Material, redundancy: Redundancy, singles: Sequence[tuple[float, float]]
) -> list[str | Table]:
    if not redundancy.clusters:
        return [f"No two features have a |Spearman's correlation| of {TOGETHER} or more: none is redundant."]
    names = material.spec.encoding.names
    together = importances(material, [list(cluster) for cluster in redundancy.clusters])
    rows = [
        (
            ", ".join(names[place] for place in cluster),
            number(rise, 3),
            number(max(singles[place][0] for place in cluster), 3),
        )
        for cluster, (rise, _) in zip(redundancy.clusters, together, strict=True)
    ]
    head = ("features", f"rise of {material.loss}, shuffled together", "the largest alone")
    return [Table(head, rows, f"Redundant features (|Spearman| from {TOGETHER} on)")]
