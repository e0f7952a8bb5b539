"""Section: each feature as it was drawn, and as the model gets it; in training and on the holdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.models.encoding import Column
from headrace.training.report.chart import COLOURS, Chart, axis, numbers, text
from headrace.training.report.material import Material, Part
from headrace.training.report.section import Section

Vector = npt.NDArray[np.float64]

BINS: Final = 24
LEVELS: Final = 8


def distributions(material: Material) -> Section:
    charts = [_chart(material, index, column) for index, column in enumerate(material.spec.encoding.columns)]
    return Section(
        "distributions",
        "Distributions before and after transformation",
        [
            "On the left a feature as it was drawn, on the right as the model gets it: categories are the codes of "
            "the levels that training saw, unseen levels and nulls are missing, conditions are 0 or 1, and numbers "
            "beyond float32 are cut. Bars are training, the line is the holdout; what lies beyond the middle 99% "
            "of training is counted in the outermost bars.",
            *charts,
        ],
    )


def _chart(material: Material, index: int, column: Column) -> Chart:
    parts = {"training": material.train, "holdout": material.holdout}
    before = _levels(parts, column) if column.kind == "str" else _numbers(
        {name: _raw(part.table, column.name) for name, part in parts.items()}
    )  # fmt: skip
    after = _numbers({name: part.matrix[:, index] for name, part in parts.items()})
    missing = [
        f"{name}: {part.table.column(column.name).null_count / max(part.table.num_rows, 1):.1%} null, "
        f"{np.isnan(part.matrix[:, index]).mean():.1%} missing after"
        for name, part in parts.items()
        if np.isnan(part.matrix[:, index]).any()
    ]
    told = "; ".join(missing) or "nothing missing"
    layout = {
        "grid": {"rows": 1, "columns": 2, "pattern": "independent", "xgap": 0.14},
        "xaxis": {**axis("before"), **before[1]},
        "yaxis": axis(tickformat=".0%", rangemode="tozero"),
        "xaxis2": axis("after", **after[1]),
        "yaxis2": axis(tickformat=".0%", rangemode="tozero"),
        "bargap": 0.05,
        "margin": {"l": 40, "r": 8, "t": 8, "b": 40},
    }
    traces = [*before[0], *({**trace, "xaxis": "x2", "yaxis": "y2"} for trace in after[0])]
    return Chart(
        f"{column.name} ({column.kind}) · {told}", f"Distribution of {column.name}. {told}", traces, layout
    )


def _raw(table: pa.Table, name: str) -> Vector:
    values = table.column(name).combine_chunks()
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    found: Vector = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


Drawn = tuple[list[dict[str, Any]], dict[str, Any]]


def _numbers(values: dict[str, Vector]) -> Drawn:
    """Shares by bins, whose range is that of training, infinities in the outermost."""
    known = {name: found[~np.isnan(found)] for name, found in values.items()}
    finite = known["training"][np.isfinite(known["training"])]
    if not len(finite):
        return [], {"tickvals": []}
    low, high = (float(edge) for edge in np.quantile(finite, [0.005, 0.995]))
    distinct = np.unique(np.concatenate([finite, *(found[np.isfinite(found)] for found in known.values())]))
    if len(distinct) <= BINS and (distinct == np.round(distinct)).all() and distinct[-1] - distinct[0] < 4 * BINS:
        edges = np.arange(distinct[0], distinct[-1] + 2) - 0.5
    elif low < high:
        edges = np.linspace(low, high, BINS + 1)
    else:
        edges = np.array([low - 0.5, low + 0.5])
    middle = (edges[:-1] + edges[1:]) / 2
    shares = {}
    for name, found in known.items():
        place = np.clip(np.searchsorted(edges, found, side="right") - 1, 0, len(middle) - 1)
        shares[name] = np.bincount(place, minlength=len(middle)) / max(len(values[name]), 1)
    whole = (
        {"tickvals": numbers(middle), "ticktext": [f"{value:g}" for value in middle]} if len(middle) <= 7 else {}
    )
    return _pair(numbers(middle), shares), whole


def _levels(parts: dict[str, Part], column: Column) -> Drawn:
    counted = {name: _counts(part.table.column(column.name)) for name, part in parts.items()}
    ordered = sorted(counted["training"], key=lambda level: -counted["training"][level])
    first = ordered[:LEVELS]
    rows = {name: [counts.get(level, 0) for level in first] for name, counts in counted.items()}
    shares = {name: np.array(found) / max(parts[name].table.num_rows, 1) for name, found in rows.items()}
    ticks = {
        "title": {"text": f"before (the first {len(first)} of {len(ordered):,})", "standoff": 6},
        "tickvals": list(range(len(first))),
        "ticktext": [text(str(level), 12) for level in first],
        "tickangle": 40,
    }
    return _pair(list(range(len(first))), shares, [text(str(level), 200) for level in first]), ticks


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    found = pc.value_counts(column.combine_chunks().drop_null()).to_pylist()
    return {entry["values"]: entry["counts"] for entry in found}


def _pair(x: Sequence[Any], shares: dict[str, Vector], names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    said = {"customdata": names or x, "hovertemplate": "%{customdata}: %{y:.1%}"}
    return [
        {"type": "bar", "name": "training", "x": x, "y": numbers(shares["training"]), **said,
         "marker": {"color": COLOURS["training"], "opacity": 0.7}},
        {"type": "scatter", "name": "holdout", "x": x, "y": numbers(shares["holdout"]), **said,
         "mode": "lines+markers", "line": {"shape": "hvh", "color": COLOURS["holdout"], "width": 2},
         "marker": {"size": 4}},
    ]  # fmt: skip
