"""The graph of a run, as a fragment of HTML that needs nothing else: a box a step, and what went between them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from headrace.training.record import STEPS, Record, StepRecord

PLACE: Final = "<!-- the steps -->"
LINK: Final = "<!-- a link to the steps -->"
"""Where a report wants them, once the run has ended."""
_COLOURS: Final = {"succeeded": "#2e7d32", "failed": "#c62828", "running": "#1565c0", "not run": "#9e9e9e"}
_WIDTH, _HEIGHT, _GAP = 190, 96, 50


def graph(record: Record) -> str:
    """The steps with status, duration, CPU, memory and a link to each log; below them inputs and outputs.

    Links are relative to the run's folder.
    """
    boxes = "".join(_box(step, place) for place, step in enumerate(record.steps))
    width = len(record.steps) * (_WIDTH + _GAP) - _GAP
    return (
        '<section class="run-graph">'
        f'<svg viewBox="-3 -36 {width + 6} {_HEIGHT + 42}" role="img" aria-label="steps of the run" '
        'style="max-width:100%;font:13px sans-serif">'
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>'
        f"{_arrows()}{boxes}</svg>{_table(record)}</section>\n"
    )


def placed(report: str, record: Record) -> str:
    """A report with the graph in the place that it keeps for it."""
    title = '<h2 id="steps-title">Steps of the run</h2>'
    section = f'<section id="steps" tabindex="-1" aria-labelledby="steps-title">{title}{graph(record)}</section>'
    return report.replace(PLACE, section).replace(LINK, '<li><a href="#steps">Steps of the run</a></li>')


def page(record: Record) -> str:
    """The graph as a page of its own."""
    title = escape(f"{record.project}: run {record.run or ''} {record.status}")
    chosen = escape(", ".join(f"{name}={value}" for name, value in record.parameters.items()))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<body style="font:14px sans-serif;margin:2em"><h1>{title}</h1><p>{chosen}</p>'
        f"{graph(record)}</body></html>\n"
    )


def _box(step: StepRecord, place: int) -> str:
    left = place * (_WIDTH + _GAP)
    lines = [step.status, f"{_seconds(step.seconds)}, CPU {_seconds(step.cpu)}", f"memory {size_text(step.memory)}"]
    texts = "".join(
        f'<text x="{left + 12}" y="{44 + 19 * index}" fill="#333">{escape(line)}</text>'
        for index, line in enumerate(lines)
    )
    box = (
        f'<g><title>{escape(step.error or step.summary)}</title><rect x="{left}" y="0" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="6" fill="#fff" stroke="{_COLOURS[step.status]}" stroke-width="3"/>'
        f'<text x="{left + 12}" y="22" font-weight="bold" fill="{_COLOURS[step.status]}">{escape(step.name)}</text>'
        f"{texts}</g>"
    )
    if step.log is not None:
        box += f'<text x="{left + _WIDTH - 34}" y="22" fill="#1565c0" text-decoration="underline">log</text>'
    return box if step.log is None else f'<a href="{escape(step.log, quote=True)}">{box}</a>'


def _arrows() -> str:
    places = {name: index for index, name in enumerate(STEPS)}
    drawn = []
    for name, sources in STEPS.items():
        for source in sources:
            start, end = places[source] * (_WIDTH + _GAP) + _WIDTH, places[name] * (_WIDTH + _GAP)
            near = places[name] - places[source] == 1
            path = (
                f"M{start},{_HEIGHT // 2} L{end},{_HEIGHT // 2}"
                if near
                else f"M{start - 40},0 C{start},-42 {end},-42 {end + 40},-2"
            )
            drawn.append(f'<path d="{path}" fill="none" stroke="#777" stroke-width="1.5" marker-end="url(#head)"/>')
    return "".join(drawn)


def _table(record: Record) -> str:
    rows = []
    for step in record.steps:
        for way, found in (("in", step.inputs), ("out", step.outputs)):
            rows += [_row(step.name, way, name, artifact) for name, artifact in found.items()]
        if step.error is not None:
            rows.append(
                f'<tr><td>{step.name}</td><td colspan="5" style="color:#c62828">{escape(step.error)}</td></tr>'
            )
    head = "".join(f"<th>{name}</th>" for name in ("step", "", "artifact", "size", "metadata", "URI"))
    return f'<table style="text-align:left;font-size:12px"><tr>{head}</tr>{"".join(rows)}</table>' if rows else ""


def _row(step: str, way: str, name: str, artifact: Mapping[str, Any]) -> str:
    kind = str(artifact.get("type", "")).removeprefix("system.")
    told = ", ".join(f"{key}={_plain(value)}" for key, value in artifact.get("metadata", {}).items())
    size = artifact.get("bytes")
    cells = [step, way, f"{name} ({kind})", size_text(size), told, str(artifact.get("uri", ""))]
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _plain(value: Any) -> Any:
    """Kubeflow keeps whole numbers as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def size_text(size: int | None) -> str:
    """Bytes for people.

    >>> size_text(3_500_000), size_text(None)
    ('3.3 MiB', '–')
    """
    if size is None:
        return "–"
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 1024:.0f} KiB" if size >= 1024 else f"{size} B"
