"""The page: one HTML file that needs nothing else, and may not load anything either (its own policy forbids it)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from headrace.errors import MissingExtra
from headrace.training.graph import LINK, PLACE
from headrace.training.report.chart import Chart
from headrace.training.report.section import Section, Table

try:
    from plotly.offline import get_plotlyjs
except ImportError as error:
    raise MissingExtra("training report", "plotly", "train") from error

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The HTML of a report."""
    here = files("headrace.training.report")
    links = "".join(f'<li><a href="#{each.name}">{escape(each.title)}</a></li>' for each in sections)
    body: list[str] = []
    figures: list[tuple[str, dict[str, Any]]] = []
    for section in sections:
        parts = []
        charts: list[str] = []
        for part in section.parts:
            if isinstance(part, Chart):
                place = f"{section.name}-{len(figures)}"
                figures.append((place, part.figure))
                charts.append(_figure(place, part))
                continue
            parts += _grid(charts)
            charts = []
            parts.append(part.html() if isinstance(part, Table) else f"<p>{escape(part)}</p>")
        parts += _grid(charts)
        body.append(
            f'<section id="{section.name}" tabindex="-1" aria-labelledby="{section.name}-title">'
            f'<h2 id="{section.name}-title">{escape(section.title)}</h2>{"".join(parts)}</section>'
        )
    # "<" would end the script: "</script>" may stand in a level's name.
    drawn = json.dumps(dict(figures), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<title>{escape(title)}</title>\n'
        f"<style>{(here / 'page.css').read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">To the content</a>\n'
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>\n"
        f'<nav aria-label="Contents"><ol>{links}{LINK}</ol></nav>\n'
        f'<main id="content" tabindex="-1">{"".join(body)}{PLACE}</main>\n'
        f'<script type="application/json" id="figures">{drawn}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n"
        f"<script>{(here / 'page.js').read_text(encoding='utf-8')}</script>\n</body>\n</html>\n"
    )


def _figure(place: str, chart: Chart) -> str:
    return (
        f'<figure class="{"wide" if chart.wide else "card"}"><figcaption>{escape(chart.caption)}</figcaption>'
        f'<div class="plot" id="{place}" role="img" style="height:{chart.height}px" '
        f'aria-label="{escape(chart.told, quote=True)}"></div></figure>'
    )


def _grid(charts: Sequence[str]) -> list[str]:
    return [f'<div class="grid">{"".join(charts)}</div>'] if charts else []
