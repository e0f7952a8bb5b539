"""Section: the model against the champion and the naive forecast, in numbers and in pictures of its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from headrace.training.gates.evidence import spread
from headrace.training.report.chart import COLOURS, Chart, axis, line, numbers
from headrace.training.report.material import Material, Vector
from headrace.training.report.section import Section, Table, number

POINTS: Final = 1_500
BINS: Final = 40
STEPS: Final = 200
_LATER: Final = "legendonly"


def compared(material: Material) -> Section:
    judged = material.judged
    champion = judged["champion"]
    columns: dict[str, Mapping[str, Any]] = {"model": judged["model"]}
    if champion is not None and champion["metrics"] is not None:
        columns[f"champion (version {champion['version']})"] = champion["metrics"]
    columns["naive"] = judged["naive"]
    tables = [_table(columns, "On the whole holdout")]
    if judged["comparison"] is not None:
        both = {"model": judged["comparison"]["challenger"], "champion": judged["comparison"]["champion"]}
        tables.append(_table(both, "On the examples of which neither the model nor the champion has seen anything"))
    lead = (
        "There is no champion yet: this model is the first."
        if champion is None
        else f"The champion (version {champion['version']}) may have been trained on a part of this holdout; a "
        "promotion is decided on what neither has seen."
    )
    draw = _regression if material.spec.task == "regression" else _classification
    return Section("rivals", "Against champion and naive", [lead, *tables, *draw(material)])


def _table(columns: Mapping[str, Mapping[str, Any]], caption: str) -> Table:
    names = dict.fromkeys(name for found in columns.values() for name in found)
    whole = ("examples", "mape_examples", "positives")
    rows = [
        (
            name.replace("_", " "),
            *(
                f"{found[name]:,.0f}" if name in whole and found.get(name) is not None else number(found.get(name))
                for found in columns.values()
            ),
        )
        for name in names
    ]
    return Table(("", *columns), rows, caption)


def _known(material: Material) -> dict[str, tuple[Vector, Vector]]:
    """Of each rival that predicts anything: label and prediction where it does."""
    found = {}
    for who, predicted in material.rivals.items():
        known = ~np.isnan(predicted)
        if known.any():
            found[who] = material.holdout.label[known], predicted[known]
    return found


# Regression


def _regression(material: Material) -> list[Chart]:
    known = _known(material)
    scatter = []
    for who, (label, predicted) in known.items():
        chosen = spread(len(label), POINTS)
        scatter.append({
            "type": "scatter", "mode": "markers", "name": who, "x": numbers(label[chosen]),
            "y": numbers(predicted[chosen]), "marker": {"color": COLOURS[who], "size": 5, "opacity": 0.5},
            "hovertemplate": "actual %{x}, predicted %{y}", "visible": True if who == "model" else _LATER,
        })  # fmt: skip
    label, predicted = known["model"]
    ends = [float(min(label.min(), predicted.min())), float(max(label.max(), predicted.max()))]
    scatter.append(line(numbers(ends), ends, "exact", line={"color": "#8b919c", "dash": "dash", "width": 1}))
    residuals = {who: found - truth for who, (truth, found) in known.items()}
    reach = float(np.quantile(np.abs(residuals["model"]), 0.99)) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    spread_out = [
        line(
            numbers(middle),
            np.histogram(np.clip(found, -reach, reach), edges)[0] / len(found),
            who,
            line={"shape": "hvh", "color": COLOURS[who], "width": 2},
            **({"fill": "tozeroy"} if who == "model" else {}),
        )
        for who, found in residuals.items()
    ]
    return [
        Chart("Predicted against actual", "Exact predictions lie on the diagonal",
              scatter, {"xaxis": axis("actual"), "yaxis": axis("predicted"), "showlegend": True}, 360),
        Chart("Residuals (predicted - actual)", "The outermost bins hold what is beyond",
              spread_out,
              {"xaxis": axis("predicted - actual"), "yaxis": axis(tickformat=".0%"), "showlegend": True}, 360),
    ]  # fmt: skip


# Classification


def _classification(material: Material) -> list[Chart]:
    roc, precision, calibration = [], [], []
    for who, (label, predicted) in _known(material).items():
        if not 0 < label.sum() < len(label):
            continue
        rates = curve(label == 1, predicted)
        roc.append(line(numbers(rates["false"]), rates["true"], who))
        precision.append(line(numbers(rates["true"]), rates["precision"], who))
        said, came = calibrated(label, predicted)
        calibration.append(line(numbers(said), came, who, mode="lines+markers"))
    chance = {"line": {"color": "#8b919c", "dash": "dash", "width": 1}, "hoverinfo": "skip"}
    whole = {"range": [-0.01, 1.01]}
    return [
        Chart("ROC", "True positive rate by false positive rate", [*roc, line([0, 1], [0, 1], "chance", **chance)],
              {"xaxis": axis("false positive rate", **whole), "yaxis": axis("true positive rate", **whole),
               "showlegend": True}, 360),
        Chart("Precision and recall", "Precision by recall", precision,
              {"xaxis": axis("recall", **whole), "yaxis": axis("precision", **whole), "showlegend": True}, 360),
        Chart("Calibration", "Share of positives by predicted probability, in ten groups of equal size",
              [*calibration, line([0, 1], [0, 1], "calibrated", **chance)],
              {"xaxis": axis("predicted"), "yaxis": axis("came true"), "showlegend": True}, 360),
        _confusion(material),
    ]  # fmt: skip


def _confusion(material: Material) -> Chart:
    said, is_so = material.rivals["model"] >= material.threshold, material.holdout.label == 1
    counts = [[int((truth & decided).sum()) for decided in (~said, said)] for truth in (~is_so, is_so)]
    sides = {"tickvals": [0, 1], "ticktext": ["negative", "positive"], "showgrid": False}
    # Shares of a row, or the many negatives would be all that has a colour.
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    return Chart(
        f"Confusion at the threshold {material.threshold:.4g}",
        f"Negatives: {counts[0][0]} right, {counts[0][1]} not; positives: {counts[1][1]} right, {counts[1][0]} not",
        [{
            "type": "heatmap", "z": [numbers(row) for row in shares], "x": [0, 1], "y": [0, 1],
            "text": [[f"{count:,}" for count in row] for row in counts], "texttemplate": "%{text}",
            "hovertemplate": "%{text} (%{z:.1%} of the row)<extra></extra>", "coloraxis": "coloraxis",
        }],
        {
            "xaxis": axis("predicted", **sides),
            "yaxis": axis("actual", **sides, range=[1.5, -0.5]),
            "coloraxis": {"cmin": 0, "cmax": 1, "showscale": False},
        },
        360,
    )  # fmt: skip


def curve(positive: Any, score: Vector) -> dict[str, Vector]:
    """False and true positive rates and precision at falling thresholds, at most `STEPS` of them and the ends.

    >>> found = curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.1]))
    >>> found["true"].tolist(), found["false"].tolist()
    ([0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0])
    """
    order = np.argsort(-score, kind="stable")
    hits, sorted_score = np.cumsum(positive[order]), score[order]
    last = np.append(np.nonzero(np.diff(sorted_score))[0], len(score) - 1)  # equal scores fall together
    last = last[spread(len(last), STEPS)]
    true, chosen = hits[last], last + 1
    return {
        "true": np.append(0.0, true / max(positive.sum(), 1)),
        "false": np.append(0.0, (chosen - true) / max((~positive).sum(), 1)),
        "precision": np.append((true / chosen)[0], true / chosen),
    }


def calibrated(label: Vector, predicted: Vector) -> tuple[list[float], list[float]]:
    """Mean prediction and share of positives of ten groups of equal size, by prediction."""
    groups = [group for group in np.array_split(np.argsort(predicted, kind="stable"), 10) if len(group)]
    return [float(predicted[group].mean()) for group in groups], [float(label[group].mean()) for group in groups]
