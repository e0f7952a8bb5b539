"""Gates by name, and their waivers: why a finding of one does not stop a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GATES: Final = ("leakage", "multicollinearity", "nulls", "constants")
"""What is looked for in every training set before a model of it may be registered (`headrace.training.gates`)."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """The reason for which a gate's finding about a feature does not stop a run."""

    gate: str
    feature: str
    because: str
