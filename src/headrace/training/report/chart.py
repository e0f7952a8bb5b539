"""Charts as Plotly's figures: plain JSON, which plotly.js draws. Nothing else knows what a trace is.

Numbers are counted here already, so that a report holds no data set, and stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

COLOURS: Final = {
    "model": "#3b82d6",
    "champion": "#d9822b",
    "naive": "#8b919c",
    "training": "#3b82d6",
    "holdout": "#d9822b",
}
LEGEND: Final = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
_LONG: Final = 26


@dataclass(frozen=True)
class Chart:
    """caption: above the drawing. told: what it shows, for who does not see it. wide: takes the whole width."""

    caption: str
    told: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = 260
    wide: bool = False

    @property
    def figure(self) -> dict[str, Any]:
        layout = {
            "height": self.height,
            "margin": {"l": 48, "r": 12, "t": 8, "b": 40},
            "legend": LEGEND,
            "showlegend": False,
            "bargap": 0.15,
            **self.layout,
        }
        return {"data": list(self.traces), "layout": layout}


def numbers(values: Any) -> list[float | None]:
    """Five digits are enough to draw; what is no number is a gap.

    >>> numbers([1 / 3, float("nan")])
    [0.33333, None]
    """
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]


def text(label: str, longest: int = _LONG) -> str:
    """A label as plotly.js shows it literally: it reads some HTML in texts.

    >>> text("<b>bread & butter")
    '&lt;b&gt;bread &amp; butter'
    """
    short = label if len(label) <= longest else f"{label[: longest - 1]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis that a touch does not move: a finger on it scrolls the page."""
    return {"title": {"text": text(title, 60), "standoff": 6}, "automargin": True, "fixedrange": True, **more}


def names_axis(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """Names at whole numbers, the first on top: shortened ones may be alike and stay apart."""
    return axis(
        tickvals=list(range(len(names))),
        ticktext=[text(name) for name in names],
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        **more,
    )


def bars(names: Sequence[str], values: Any, **trace: Any) -> dict[str, Any]:
    """Lying bars, one a name."""
    hover = [text(name, 200) for name in names]
    return {
        "type": "bar",
        "orientation": "h",
        "x": numbers(values),
        "y": list(range(len(names))),
        "customdata": hover,
        "hovertemplate": "%{customdata}: %{x}<extra></extra>",
        "marker": {"color": COLOURS["model"]},
        **trace,
    }


def dots(names: Sequence[str], values: Any, who: str, **trace: Any) -> dict[str, Any]:
    """One dot a name."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": who,
        "x": numbers(values),
        "y": list(range(len(names))),
        "customdata": [text(name, 200) for name in names],
        "hovertemplate": f"%{{customdata}}: %{{x}} ({text(who)})<extra></extra>",
        "marker": {"color": COLOURS.get(who.split()[0], COLOURS["model"]), "size": 9, "symbol": _SYMBOLS[who]},
        **trace,
    }


_SYMBOLS: Final = {"model": "circle", "champion": "diamond", "naive": "x"}


def line(x: Any, y: Any, who: str, **trace: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": who,
        "x": x,
        "y": numbers(y),
        "line": {"color": COLOURS.get(who, COLOURS["model"]), "width": 2},
        **trace,
    }


def vertical(at: float, **more: Any) -> dict[str, Any]:
    """A dashed line across, where a limit lies."""
    return {
        "type": "line",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dash", "width": 1, "color": COLOURS["champion"]},
        **more,
    }
