"""Unit tests of the generated rules, for `promtool test rules`: each declared alert fires when it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.declare.declaration import Declaration
from headrace.declare.rules import Rule

_STEPS: Final = 60
"""Samples, one a minute. (A counter that is younger than a rule's span counts all the same.)"""
_MODEL: Final = "1"


def proofs(declaration: Declaration, rules_file: str) -> dict[str, Any]:
    """The file of tests for the rules in `rules_file`.

    >>> from pathlib import Path
    >>> from headrace.declare.load import read_project
    >>> found = proofs(read_project(Path("tests/projects/fraud.py")), "rules.yml")
    >>> [test["name"] for test in found["tests"]][:3]
    ['auc fires', 'auc is quiet', 'auc has too few observations']
    """
    tests = []
    for metric, rule in declaration.monitors.items():
        alarming = _drifted if metric == "psi" else _measured
        for said, bad, enough in (
            ("fires", True, True), ("is quiet", False, True), ("has too few observations", True, False),
        ):  # fmt: skip
            series = alarming(declaration.name, metric, rule, bad, enough)
            alerts = f'ALERTS{{alertname="{declaration.name} {metric}"}}'
            firing = [{"labels": _firing(declaration.name, metric), "value": 1}] if bad and enough else []
            tests.append(
                {
                    "name": f"{metric} {said}",
                    "interval": "1m",
                    "input_series": [{"series": name, "values": values} for name, values in series],
                    "promql_expr_test": [
                        {
                            "expr": f"max by (alertname, metric) ({alerts})",
                            "eval_time": f"{_STEPS}m",
                            "exp_samples": firing,
                        }
                    ],
                }
            )
    return {"rule_files": [rules_file], "tests": tests}


def _firing(project: str, metric: str) -> str:
    return f'{{alertname="{project} {metric}", metric="{metric}"}}'


def _drifted(project: str, metric: str, rule: Rule, bad: bool, enough: bool) -> Sequence[tuple[str, str]]:
    """Predictions that all fall into one of two bins, or evenly into both."""
    own = f'project="{project}", model="{_MODEL}"'
    each = rule.minimum / _STEPS * (2 if enough else 0.25)
    rates = (2 * each, 0.0) if bad else (each, each)
    found = [(f'headrace_model_info{{project="{project}", version="{_MODEL}", sha256="ab"}}', f"1x{_STEPS}")]
    for place, rate in enumerate(rates):
        found.append((f'headrace_prediction_bin_total{{{own}, bin="{place}"}}', f"0+{rate:g}x{_STEPS}"))
        found.append((f'headrace_prediction_share{{{own}, bin="{place}"}}', f"0.5x{_STEPS}"))
    return found


def _measured(project: str, metric: str, rule: Rule, bad: bool, enough: bool) -> Sequence[tuple[str, str]]:
    """Gauges on either side of the limit."""
    own = f'{{project="{project}", metric="{metric}", model="{_MODEL}"}}'
    limit = rule.threshold if rule.kind == "above" else 1 + rule.threshold * (1 if rule.kind == "rises" else -1)
    beyond = 1.01 if (rule.kind != "falls") == bad else 0.99
    count = rule.minimum if enough else rule.minimum - 1
    return [
        (f"headrace_metric{own}", f"{limit * beyond!r}x{_STEPS}"),
        (f"headrace_metric_reference{own}", f"1x{_STEPS}"),
        (f"headrace_metric_observations{own}", f"{count}x{_STEPS}"),
    ]
