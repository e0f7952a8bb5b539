"""Resolves rules and retraining policy: their metrics must be the model's, in the direction that is worse."""

from __future__ import annotations

from headrace.declare.declaration import Model
from headrace.declare.duration import DAY
from headrace.declare.parts import Parts, RetrainPart
from headrace.declare.rules import LOWER_IS_BETTER, METRICS_OF, Better, Retrain, Rule
from headrace.errors import DeclarationError

_UNDECLARED = RetrainPart((), None, 7 * DAY, 14 * DAY, 10, None)


def resolve_monitors(parts: Parts, model: Model) -> dict[str, Rule]:
    """The rules, each of a metric that the model has, and in the direction in which that becomes worse."""
    for metric, rule in parts.monitors.items():
        subject = f"monitor {metric}"
        if metric != "psi":
            _check_metric(subject, metric, model)
        fitting = _fitting(metric)
        if rule.kind not in fitting:
            raise DeclarationError(
                subject, f"{rule.kind}(...) is no alert of {metric}", f"use {' or '.join(fitting)}: {_why(metric)}"
            )
    return dict(parts.monitors)


def resolve_policy(parts: Parts, model: Model) -> Retrain:
    """The policy; where no metric is named, the task's own decides a promotion."""
    part = parts.retrain or _UNDECLARED
    for metric in part.on:
        if metric not in parts.monitors:
            raise DeclarationError(
                "retrain", f"on={metric!r} is not a monitored metric", f"declare monitor({metric}=...)"
            )
    promote = part.promote or Better(METRICS_OF[model.task][0], 0.0)
    _check_metric("retrain", promote.metric, model)
    return Retrain(part.on, part.every, part.cooldown, part.holdout, part.budget, promote)


def _check_metric(subject: str, metric: str, model: Model) -> None:
    if metric not in METRICS_OF[model.task]:
        raise DeclarationError(
            subject,
            f"{metric} is no metric of a {model.task}, which the label makes this model",
            f"use one of {', '.join(METRICS_OF[model.task])}",
        )
    if metric == "cost" and model.cost is None:
        raise DeclarationError(
            subject, "the model declares no cost", "declare model(cost=hr.cost(missed=..., false_alarm=...))"
        )


def _fitting(metric: str) -> tuple[str, ...]:
    if metric == "psi":
        return ("above",)
    return ("rises", "above") if metric in LOWER_IS_BETTER else ("falls",)


def _why(metric: str) -> str:
    if metric == "psi":
        return "the holdout is its own reference"
    return "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
