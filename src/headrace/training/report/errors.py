"""Section: where and when the model errs, beside the champion and the naive forecast."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from headrace.training.report.chart import LEGEND, Chart, axis, dots, line, names_axis
from headrace.training.report.material import Material, Vector
from headrace.training.report.section import Section, Table, number
from headrace.training.report.segments import Mask, segments

PERIODS: Final = 40
ENOUGH: Final = 30
WORST: Final = 10


def errors(material: Material) -> Section:
    losses = {who: material.losses(predicted) for who, predicted in material.rivals.items()}
    losses = {who: found for who, found in losses.items() if not np.isnan(found).all()}
    charts, worst = [], []
    for index, column in enumerate(material.spec.encoding.columns):
        groups = segments(column, material.holdout.matrix[:, index])
        charts.append(_segmented(material, column.name, groups, losses))
        worst += [
            (column.name, name, int(mask.sum()), float(losses["model"][mask].mean()), _bias(material, mask))
            for name, mask in groups
            if mask.sum() >= ENOUGH
        ]
    overall = float(losses["model"].mean())
    worst.sort(key=lambda row: -row[3])
    rows = [
        (f"{feature}: {name}", f"{count:,}", number(loss), f"{loss / overall:.2f}" if overall else "", number(bias))
        for feature, name, count, loss, bias in worst[:WORST]
    ]
    head = ("segment", "examples", material.loss, "times the overall", "mean of predicted - actual")
    return Section(
        "errors",
        "Errors over time and by segment",
        [
            f"{material.loss} on the holdout; lower is better. Overall the model has {number(overall)}. Segments "
            "are levels of a category, values of a whole number, or fifths of the holdout's examples.",
            *_over_time(material, losses),
            Table(head, rows, f"Where the model errs most (segments of at least {ENOUGH} examples)"),
            *charts,
        ],
    )


def _bias(material: Material, mask: Mask) -> float:
    return float((material.rivals["model"] - material.holdout.label)[mask].mean())


def _segmented(
    material: Material, feature: str, groups: list[tuple[str, Mask]], losses: dict[str, Vector]
) -> Chart:
    names = [f"{name} ({int(mask.sum()):,})" for name, mask in groups]
    means = {who: [_mean(loss[mask]) for _, mask in groups] for who, loss in losses.items()}
    told = ", ".join(f"{name} {value:.3g}" for name, value in zip(names, means["model"], strict=True))
    return Chart(
        feature,
        f"{material.loss} by {feature}: {told}",
        [dots(names, means[who], who) for who in reversed(list(means))],
        {"yaxis": {**names_axis(names), "showgrid": True}, "xaxis": axis(material.loss, rangemode="tozero"),
         "showlegend": True, "legend": {**LEGEND, "traceorder": "reversed"}},
        120 + 24 * len(names),
    )  # fmt: skip


def _over_time(material: Material, losses: dict[str, Vector]) -> list[Chart]:
    times = material.holdout.times
    distinct = np.unique(times)
    if len(distinct) <= PERIODS:
        place, starts = np.searchsorted(distinct, times), distinct
    else:
        edges = np.linspace(distinct[0], distinct[-1] + 1, PERIODS + 1)
        place, starts = np.searchsorted(edges, times, side="right") - 1, edges[:-1]
    periods = [place == period for period in range(len(starts))]
    moments = [datetime.fromtimestamp(int(start) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") for start in starts]
    mode = "lines+markers" if len(moments) < PERIODS else "lines"
    loss = [
        line(moments, [_mean(found[period]) for period in periods], who, mode=mode)
        for who, found in reversed(list(losses.items()))
    ]
    truth = {"actual": material.holdout.label, "model": material.rivals["model"]}
    means = [
        line(moments, [_mean(found[period]) for period in periods], who, mode=mode,
             **({"line": {"color": "#8b919c", "width": 2, "dash": "dot"}} if who == "actual" else {}))
        for who, found in truth.items()
    ]  # fmt: skip
    x = axis(type="date" if len(moments) > 1 else "category")
    return [
        Chart(f"{material.loss} over time", f"{material.loss} by t on the holdout", loss,
              {"xaxis": x, "yaxis": axis(rangemode="tozero"), "showlegend": True}, 280),
        Chart("Mean actual and predicted over time", "Mean label and mean prediction by t", means,
              {"xaxis": x, "yaxis": axis(), "showlegend": True}, 280),
    ]  # fmt: skip


def _mean(values: Vector) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
