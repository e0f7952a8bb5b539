"""A section of the page: a title, sentences, tables and charts, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from headrace.training.report.chart import Chart


@dataclass(frozen=True)
class Table:
    """Cells are texts; a row's first is its name."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def html(self) -> str:
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.head)
        rows = "".join(f"<tr>{_row(row)}</tr>" for row in self.rows)
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        label = escape(self.caption or " ".join(self.head), quote=True)
        return (
            f'<div class="table" role="region" tabindex="0" aria-label="{label}"><table>{caption}'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )


def _row(row: Sequence[str]) -> str:
    first, *rest = row
    return f'<th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest)


@dataclass(frozen=True)
class Section:
    """name: of its anchor. parts: a text is a paragraph."""

    name: str
    title: str
    parts: Sequence[str | Table | Chart]


def number(value: float | None, digits: int = 4) -> str:
    """
    >>> number(1234.5678), number(None)
    ('1,235', 'undefined')
    """
    if value is None:
        return "undefined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
