"""The page that `evaluate` leaves for people: the report's own where it wrote one, else a table of its metrics."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

REPORT: Final = "report.html"


def leave(report: str, judged: Mapping[str, Any], out: str) -> None:
    """Writes the page to the file `out`. report: of the step, as JSON; beside it may lie its `report.html`."""
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    written = Path(report).parent / REPORT
    if written.is_file():
        shutil.copyfile(written, out)
    else:
        Path(out).write_text(metrics_page(judged), encoding="utf-8")


def metrics_page(judged: Mapping[str, Any]) -> str:
    """A page of the metrics on the holdout: of the model, the naive forecast and the champion."""
    champion = judged.get("champion") or {}
    columns = {"model": judged["model"], "naive": judged["naive"], "champion": champion.get("metrics")}
    columns = {who: found for who, found in columns.items() if found is not None}
    head = "".join(f"<th>{who}</th>" for who in columns)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{_number(found.get(name))}</td>" for found in columns.values())
        + "</tr>"
        for name in judged["model"]
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Metrics on the holdout</title>'
        f"<body><h1>Metrics on the holdout</h1><table><tr><th></th>{head}</tr>{rows}</table></body></html>\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"
