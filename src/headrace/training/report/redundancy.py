"""Which features say the same: Spearman's correlations, clusters of them, and the variance inflation factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from headrace.models.encoding import Matrix
from headrace.training.gates.multicollinearity import VIF, correlations, inflation
from headrace.training.gates.ranks import Vector, ranks
from headrace.training.report.chart import Chart, axis, bars, names_axis, numbers, text, vertical
from headrace.training.report.material import Material
from headrace.training.report.section import Section, Table

TOGETHER: Final = 0.7
"""|Spearman's correlation| from which on features are in one cluster."""
_SHOWN: Final = 1e6


@dataclass(frozen=True, eq=False)
class Redundancy:
    """Of the features at `places` of the matrix. clusters: of more than one, as places of the matrix."""

    places: tuple[int, ...]
    spearman: Matrix
    pearson: Matrix
    clusters: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, material: Material) -> Redundancy:
        """Categories have no order, hence no part in it."""
        columns = material.spec.encoding.columns
        places = tuple(index for index, column in enumerate(columns) if column.levels is None)
        matrix = material.train.matrix[:, places]
        ranked = np.column_stack([_ranked(column) for column in matrix.T]) if places else matrix
        spearman = correlations(ranked)
        groups = clusters(np.abs(spearman), TOGETHER)
        named = tuple(tuple(places[one] for one in group) for group in groups)
        return cls(places, spearman, correlations(matrix), named)


def _ranked(column: Vector) -> Vector:
    known = ~np.isnan(column)
    found = np.full(len(column), np.nan)
    found[known] = ranks(column[known])
    return found


def clusters(strength: Matrix, limit: float) -> list[list[int]]:
    """The groups of more than one that are linked, from one to the next, by at least `limit`.

    >>> clusters(np.array([[1, 0.8, 0], [0.8, 1, 0.1], [0, 0.1, 1]]), 0.7)
    [[0, 1]]
    """
    left, found = set(range(len(strength))), []
    while left:
        group, grow = [], [min(left)]
        while grow:
            one = grow.pop()
            if one in left:
                left.remove(one)
                group.append(one)
                grow += [other for other in left if strength[one, other] >= limit]
        if len(group) > 1:
            found.append(sorted(group))
    return found


def correlated(material: Material, redundancy: Redundancy) -> Section:
    names = [material.spec.encoding.names[place] for place in redundancy.places]
    lead = (
        "Spearman's rank correlations of numbers and conditions in training, nulls at the middle; categories have "
        "no order. The variance inflation factor of a feature is 1 / (1 - R²) of its regression on all others: "
        f"trees bear high ones, and the gate stops above {VIF:.0f} (or a correlation of 0.999) over the features "
        "declared before."
    )
    if len(names) < 2:
        return Section(
            "correlations", "Correlations and VIF", [lead, "There are fewer than two such features here."]
        )
    order = _by_cluster(redundancy)
    matrix, shown = redundancy.spearman[np.ix_(order, order)], [names[one] for one in order]
    inflated = inflation(redundancy.pearson)
    worst = np.argsort(-inflated, kind="stable")
    ranked, factors = [names[one] for one in worst], np.minimum(inflated[worst], _SHOWN)
    height = 140 + 24 * len(names)
    heat = Chart(
        "Spearman's correlations",
        "Heat map of the correlations of features; the table below names the strongest",
        [{
            "type": "heatmap", "z": [numbers(row) for row in matrix], "x": list(range(len(shown))),
            "y": list(range(len(shown))), "coloraxis": "coloraxis",
            "customdata": [[f"{text(row)} and {text(column)}" for column in shown] for row in shown],
            "hovertemplate": "%{customdata}: %{z:.3f}<extra></extra>", "xgap": 1, "ygap": 1,
        }],
        {
            "xaxis": {**names_axis(shown, tickangle=45), "range": [-0.5, len(shown) - 0.5]},
            "yaxis": names_axis(shown),
            "coloraxis": {"cmin": -1, "cmid": 0, "cmax": 1},
        },
        height + 80,
    )  # fmt: skip
    vif = Chart(
        f"Variance inflation factors (dashed: the limit of {VIF:.0f})",
        "Bars of variance inflation factors: "
        + ", ".join(f"{name} {factor:.3g}" for name, factor in zip(ranked, factors, strict=True)),
        [bars(ranked, factors, base=1, x=numbers(factors - 1), customdata=[
            f"{text(name)}: {factor:,.1f}{' or more' if factor == _SHOWN else ''}"
            for name, factor in zip(ranked, factors, strict=True)
        ], hovertemplate="%{customdata}<extra></extra>")],
        {
            "yaxis": names_axis(ranked),
            "xaxis": axis(type="log", range=[0, max(3.2, float(np.log10(factors.max())) + 0.1)], dtick=1),
            "shapes": [vertical(VIF)],
        },
        height,
    )  # fmt: skip
    return Section("correlations", "Correlations and VIF", [lead, heat, vif, _pairs(names, redundancy.spearman)])


def _pairs(names: list[str], spearman: Matrix) -> Table:
    one, other = np.triu_indices(len(names), 1)
    strongest = np.argsort(-np.abs(spearman[one, other]), kind="stable")[:10]
    rows = [(names[one[at]], names[other[at]], f"{spearman[one[at], other[at]]:.3f}") for at in strongest]
    return Table(("feature", "with", "Spearman"), rows, "The strongest correlations")


def _by_cluster(redundancy: Redundancy) -> list[int]:
    """Places within `places`, those of a cluster side by side."""
    grouped = [redundancy.places.index(place) for cluster in redundancy.clusters for place in cluster]
    return grouped + [one for one in range(len(redundancy.places)) if one not in grouped]
