"""Sections: what was trained on what, and what the gates found."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from headrace.declare.duration import duration_text
from headrace.training.gates import Finding
from headrace.training.report.material import Material
from headrace.training.report.section import Section, Table, number
from headrace.training.splits import date


def trained(material: Material) -> Section:
    spec, facts = material.spec, material.facts
    rows = [
        ("label", f"{spec.label} ({spec.task})"),
        ("trained on", _span(vars(spec.trained))),
        ("held out", _span(vars(spec.holdout))),
        ("embargo between them", duration_text(spec.embargo)),
        ("left out", f"{facts['embargoed']:,} embargoed, {facts['immature']:,} immature, "
                     f"{facts['unlabelled']:,} without a label"),
        ("what had arrived before", date(facts["until"])),
        ("parameters", ", ".join(f"{name}={value}" for name, value in spec.parameters.items()) or "none"),
        ("seed", str(spec.seed)),
        ("features", str(len(spec.encoding.columns))),
        ("declaration (sha256)", spec.declaration),
        ("archive versions", ", ".join(f"{topic} {number}" for topic, number in sorted(spec.data.items()))),
        ("versions", f"{spec.library}, headrace {_version('headrace')}, numpy {_version('numpy')}, "
                     f"Python {platform.python_version()}"),
    ]  # fmt: skip
    if any(facts["first_version_rows"].values()):
        early = ", ".join(f"{title}: {rows:,}" for title, rows in facts["first_version_rows"].items() if rows)
        rows.append(("examples older than a table", f"{early}; its first known version stands for the earlier one"))
    return Section(
        "trained",
        "What was trained",
        [
            Table(("", "this run"), rows),
            f"Pictures are drawn from at most {len(material.train.label):,} of {material.train.all:,} training and "
            f"{len(material.holdout.label):,} of {material.holdout.all:,} held-out examples, at even distances in "
            "time. Metrics in tables are over all.",
        ],
    )


def gates(material: Material) -> Section:
    found = [Finding.from_json(finding) for finding in material.judged["findings"]]
    stopping = [finding for finding in found if finding.stops]
    told = (
        f"The run stops for {len(stopping)} of these: nothing is registered until the features are corrected, or a "
        "waiver gives a reason. The line of each is in the last column."
        if stopping
        else "Nothing stops this run."
    )
    parts: list[str | Table] = [told]
    if found:
        rows = [
            (finding.feature, finding.gate, finding.cause, _evidence(finding), _standing(finding, material))
            for finding in sorted(found, key=lambda each: not each.stops)
        ]
        parts.append(Table(("feature", "gate", "finding", "evidence", "what follows"), rows))
    used = {(finding.gate, finding.feature) for finding in found if finding.waived is not None}
    idle = [each for each in material.facts["waivers"] if (each["gate"], each["feature"]) not in used]
    if idle:
        rows_idle = [(each["feature"], each["gate"], each["because"]) for each in idle]
        parts.append(Table(("feature", "gate", "reason"), rows_idle, "Waivers that this run did not need"))
    return Section("gates", "Gates and waivers", parts)


def _standing(finding: Finding, material: Material) -> str:
    if finding.waived is not None:
        return f"waived: {finding.waived}"
    if finding.young is not None:
        return f"does not stop: {finding.young}"
    return f"STOPS. To waive it: {finding.waiver(material.spec.project)}"


def _evidence(finding: Finding) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in finding.evidence.items())


def _span(span: Mapping[str, Any]) -> str:
    return f"{span['examples']:,} examples, {date(span['first'])} to {date(span['last'])}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "without a version"
