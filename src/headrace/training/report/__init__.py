"""The report of a run: one HTML file with everything in it, which opens without a network."""

from __future__ import annotations

from pathlib import Path

from headrace.training.report.contributions import explained
from headrace.training.report.distributions import distributions
from headrace.training.report.errors import errors
from headrace.training.report.importance import important
from headrace.training.report.material import Material
from headrace.training.report.origin import gates, trained
from headrace.training.report.page import page
from headrace.training.report.redundancy import Redundancy, correlated
from headrace.training.report.rivals import compared
from headrace.training.report.section import Section
from headrace.training.splits import date

__all__ = ["Material", "sections", "write"]


def sections(material: Material) -> list[Section]:
    redundancy = Redundancy.of(material)
    return [
        trained(material),
        gates(material),
        compared(material),
        errors(material),
        important(material, redundancy),
        explained(material),
        correlated(material, redundancy),
        distributions(material),
    ]


def write(material: Material, file: Path) -> None:
    """Writes the page. What it shows depends on the material alone: the same run gives the same page."""
    spec = material.spec
    text = page(
        f"{spec.project}: {spec.label}",
        f"Training report. Trained up to {date(spec.trained.last)}, judged up to {date(spec.holdout.last)}.",
        sections(material),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
