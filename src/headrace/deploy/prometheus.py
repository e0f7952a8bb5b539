"""Prometheus rules of a project: what its monitors declare, and what any server needs.

PSI is recorded from the server's plain counters (`headrace_feature_bin_total`), which add up over servers; its
formula, with one observation a bin on both sides, is that of `headrace.models.baseline.psi`. Errors against labels
are gauges of the monitor role, which alone knows what is due. Every series carries the label `project`, which the
targets file gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from headrace.declare.declaration import Declaration
from headrace.declare.duration import duration_text
from headrace.declare.rules import Rule
from headrace.monitoring.drift import PREDICTION, watched

Group = Mapping[str, Any]

_FEATURE: Final = "project, model, feature"
_BINS: Final = f"{_FEATURE}, bin"
_EVERY: Final = "30s"
_SLOW: Final = 0.5
"""Seconds that the slowest hundredth of requests may take before somebody is told."""
_BEHIND: Final = "10m"
"""How long a role may be behind."""


def rules(declaration: Declaration) -> dict[str, list[Group]]:
    """The file's groups: recordings, the declared alerts, and the alerts of the system.

    >>> from pathlib import Path
    >>> from headrace.declare.load import read_project
    >>> found = rules(read_project(Path("tests/projects/fraud.py")))
    >>> [group["name"] for group in found["groups"]]
    ['fraud psi', 'fraud monitors', 'fraud system']
    >>> [rule["alert"] for rule in found["groups"][1]["rules"]]
    ['fraud auc', 'fraud psi']
    """
    name = declaration.name
    psi = declaration.monitors.get("psi")
    declared = [alert(declaration, metric, rule) for metric, rule in declaration.monitors.items()]
    shortest = min((rule.over for rule in declaration.monitors.values()), default=0)
    groups = [
        ("psi", _interval(0 if psi is None else psi.over), [] if psi is None else recordings(declaration, psi)),
        ("monitors", _interval(shortest), declared),
        ("system", _EVERY, system(declaration)),
    ]
    return {
        "groups": [{"name": f"{name} {of}", "interval": every, "rules": own} for of, every, own in groups if own]
    }


def _interval(over: int) -> str:
    """How often a rule over such a span (ms) is evaluated: it says nothing new sooner, and a long one costs."""
    return f"{min(max(over // 1_000_000, 15), 300)}s"


def recordings(declaration: Declaration, rule: Rule) -> list[dict[str, Any]]:
    """`headrace:psi` of each watched feature and of the prediction, and what it is made of, step by step."""
    own, over = f'project="{declaration.name}"', duration_text(rule.over)
    features = f'{own}, feature=~"{"|".join(watched(declaration))}"'
    expected, total = f"headrace:bin_share{{{own}}}", f"headrace:psi_observations{{{own}}}"
    smoothed = f"({total} + count by ({_FEATURE}) (headrace:bin_observations{{{own}}}))"
    each = f"/ on ({_FEATURE}) group_left () {smoothed}"
    q = f"((headrace:bin_observations{{{own}}} + 1) {each})"
    p = f"(({expected} * on ({_FEATURE}) group_left () {total} + 1) {each})"
    return [
        {
            "record": "headrace:bin_observations",
            "expr": _both(
                f"sum by ({_BINS}) (increase(headrace_feature_bin_total{{{features}}}[{over}]))",
                f"sum by ({_BINS}) (increase(headrace_prediction_bin_total{{{own}}}[{over}]))",
            ),
        },
        {
            "record": "headrace:bin_share",
            "expr": _both(
                f"max by ({_BINS}) (headrace_feature_share{{{features}}})",
                f"max by ({_BINS}) (headrace_prediction_share{{{own}}})",
            ),
        },
        {
            "record": "headrace:psi_observations",
            "expr": f"sum by ({_FEATURE}) (headrace:bin_observations{{{own}}})",
        },
        {"record": "headrace:psi", "expr": f"sum by ({_FEATURE}) (({q} - {p}) * ln({q} / {p}))"},
    ]


def _both(features: str, prediction: str) -> str:
    """Series of the features and of the prediction, which gets a feature's name."""
    return f'{features} or label_replace({prediction}, "feature", "{PREDICTION}", "model", ".*")'


def alert(declaration: Declaration, metric: str, rule: Rule) -> dict[str, Any]:
    """The alert of one declared rule: it fires where the in-process evaluator says 'alert'."""
    name, over = declaration.name, duration_text(rule.over)
    own = f'project="{name}"'
    if metric == "psi":
        serving = f'label_replace(headrace_model_info{{{own}}}, "model", "$1", "version", "(.*)")'
        condition = (
            f"headrace:psi{{{own}}} > {rule.threshold:g} "
            f"and headrace:psi_observations{{{own}}} >= {rule.minimum} "
            f"and on (project, model) {serving}"
        )
        limit = f"above {rule.threshold:g}"
    else:
        where = f'{{{own}, metric="{metric}"}}'
        enough = f"and headrace_metric_observations{where} >= {rule.minimum}"
        condition = f"headrace_metric{where} {_bound(rule, where)} {enough}"
        limit = _said(rule)
    return {
        "alert": f"{name} {metric}",
        "expr": condition,
        "labels": {"project": name, "metric": metric, "severity": "warning", "source": "headrace"},
        "annotations": {
            "summary": f"{metric} of {name} over {over} is {limit}",
            "value": "{{ $value }}",
            "on": "{{ $labels.feature }}" if metric == "psi" else "model {{ $labels.model }}",
        },
    }


def system(declaration: Declaration) -> list[dict[str, Any]]:
    """What goes wrong with any server: gone, slow, failing, behind, refusing its input."""
    own = f'project="{declaration.name}"'
    requests = f"headrace_requests_total{{{own}}}"
    dead, good = (
        f'sum(increase(headrace_records_total{{{own}, kind="{kind}"}}[1h]))' for kind in ("dead", "enriched")
    )
    slowest = f"sum by (le) (rate(headrace_request_seconds_bucket{{{own}}}[5m]))"
    failed = f'sum(rate(headrace_requests_total{{{own}, status=~"5.."}}[5m])) / sum(rate({requests}[5m]))'
    refused = f"{dead} / ({dead} + {good})"
    return [
        _system("a role is gone", f"up{{{own}}} == 0", "2m", "page"),
        _system("slow", f"histogram_quantile(0.99, {slowest}) > {_SLOW}", "5m", "warning"),
        _system("failing", f"{failed} > 0.01", "5m", "page"),
        _system("behind", f"min_over_time(headrace_lag_records{{{own}}}[{_BEHIND}]) > 0", "0s", "warning"),
        _system("dead letters", f"{refused} > 0.2", "5m", "warning"),
        _system("predictions wait on the disk", f"headrace_unshipped_bytes{{{own}}} > 1e8", "5m", "warning"),
    ]


def _system(name: str, condition: str, wait: str, severity: str) -> dict[str, Any]:
    return {
        "alert": f"headrace: {name}",
        "expr": condition,
        "for": wait,
        "labels": {"severity": severity},
        "annotations": {"summary": f"{name}: {{{{ $value }}}}"},
    }


def _bound(rule: Rule, where: str) -> str:
    if rule.kind == "above":
        return f"> {rule.threshold:g}"
    reference = f"headrace_metric_reference{where}"
    if rule.kind == "rises":
        return f"> {1 + rule.threshold!r} * {reference}"
    return f"< {1 - rule.threshold!r} * {reference}"


def _said(rule: Rule) -> str:
    if rule.kind == "above":
        return f"above {rule.threshold:g}"
    return f"{rule.threshold:.0%} {'above' if rule.kind == 'rises' else 'below'} that of the holdout"
