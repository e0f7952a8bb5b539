"""Section: what each feature adds to predictions (SHAP; Lundberg and Lee 2017), where the format can tell."""

from __future__ import annotations

from typing import Final

import numpy as np

from headrace.training.gates.evidence import spread
from headrace.training.gates.ranks import ranks
from headrace.training.report.chart import Chart, axis, bars, names_axis, numbers
from headrace.training.report.material import Material, Vector
from headrace.training.report.section import Section

SAMPLE: Final = 300
SHOWN: Final = 15


def explained(material: Material) -> Section:
    title = "What each feature adds (SHAP)"
    if material.contributions is None:
        library = material.spec.library.partition(" ")[0]
        told = f"Models of {library} cannot be explained here: their format gives no contributions."
        return Section("shap", title, [told])
    chosen = spread(len(material.holdout.label), SAMPLE)
    matrix = material.holdout.matrix[chosen]
    terms = np.asarray(material.contributions(matrix))[:, :-1]
    size = np.abs(terms).mean(axis=0)
    order = np.argsort(-size, kind="stable")[:SHOWN]
    names = [material.spec.encoding.names[place] for place in order]
    height = 90 + 30 * len(names)
    unit = f"change of the prediction of {material.spec.label}"
    mean = Chart(
        "Mean size of the contribution",
        "Bars of the mean absolute contribution: "
        + ", ".join(f"{name} {size[place]:.3g}" for name, place in zip(names, order, strict=True)),
        [bars(names, size[order])],
        {"yaxis": names_axis(names), "xaxis": axis(unit)},
        height,
    )
    random = np.random.default_rng(material.spec.seed)
    # One trace: y is the feature's place with the points of a crowd strewn about it.
    x = np.concatenate([terms[:, place] for place in order])
    y = np.concatenate([row + _strewn(terms[:, place], random) for row, place in enumerate(order)])
    colour = np.concatenate([_height(matrix[:, place]) for place in order])
    swarm = Chart(
        "Each dot is one prediction; blue is a low value of the feature, red a high one, grey none",
        "Contributions of each feature to single predictions, by its value",
        [{
            "type": "scatter", "mode": "markers", "x": numbers(x), "y": numbers(y), "hoverinfo": "x",
            "marker": {"size": 4, "opacity": 0.75, "color": [_colour(value) for value in colour]},
        }],
        {"yaxis": {**names_axis(names), "showgrid": True}, "xaxis": axis(unit)},
        height,
    )  # fmt: skip
    lead = (
        f"On {len(chosen):,} held-out examples. A prediction is a base value plus these contributions. Of a "
        "category the value is its level's place in the alphabet."
    )
    return Section("shap", title, [lead, mean, swarm])


def _strewn(values: Vector, random: np.random.Generator) -> Vector:
    """From -0.35 to 0.35, the wider the more values are near."""
    counts, edges = np.histogram(values, bins=30)
    density = counts[np.clip(np.searchsorted(edges, values, side="right") - 1, 0, 29)] / max(counts.max(), 1)
    found: Vector = random.uniform(-0.35, 0.35, len(values)) * np.sqrt(density)
    return found


def _height(values: Vector) -> Vector:
    """The place of each value among those that are there, 0 to 1; NaN of none."""
    known = ~np.isnan(values)
    found = np.full(len(values), np.nan)
    if known.any():
        found[known] = (ranks(values[known]) - 0.5) / known.sum()
    return found


def _colour(height: float) -> str:
    if np.isnan(height):
        return "#8b919c"
    low, high = np.array([59, 130, 214]), np.array([224, 70, 58])
    return "#" + "".join(f"{round(part):02x}" for part in low + height * (high - low))
