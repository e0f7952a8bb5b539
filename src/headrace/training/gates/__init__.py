"""Gates: what is found in a training set stops a run before its model is registered, unless it is waived by name.

All gates look at every run, and all that they find is told at once. Limits and their reasons: docs/training.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.errors import TrainingError
from headrace.training.gates.constants import constants
from headrace.training.gates.evidence import Evidence
from headrace.training.gates.finding import Finding
from headrace.training.gates.leakage import leakage
from headrace.training.gates.multicollinearity import multicollinearity
from headrace.training.gates.nulls import nulls

_GATES: Final = (leakage, multicollinearity, nulls, constants)

__all__ = ["Evidence", "Finding", "findings", "stop"]


def findings(evidence: Evidence) -> list[Finding]:
    """What every gate finds, with what stands against it: a waiver, or a training set that is still too short."""
    return [evidence.weighed(finding) for gate in _GATES for finding in gate(evidence)]


def stop(project: str, found: Sequence[Finding]) -> None:
    """Raises TrainingError, naming each finding that nothing stands against; returns when there is none."""
    stopping = [finding for finding in found if finding.stops]
    if stopping:
        raise TrainingError(
            f"gates of {project}",
            "; ".join(str(finding) for finding in stopping) + ": nothing was registered",
            f"look at them in the report, then correct the features, or declare "
            f"{' and '.join(finding.waiver(project) for finding in stopping)}",
        )
