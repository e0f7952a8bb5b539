"""The training pipeline. Every setting and every parameter of the model is a pipeline parameter."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kfp import dsl

from headrace.declare.resolve.labels import SETTINGS
from headrace.errors import TrainingError
from headrace.training.components import evaluate, preprocess, register, train_component
from headrace.training.parameters import Parameter


def pipeline(parameters: Mapping[str, Parameter]) -> Any:
    """The pipeline of a model with these parameters (their defaults): a kfp pipeline, to run or to compile to YAML.

    TrainingError where a model parameter has the name of a setting.
    """
    taken = sorted(set(parameters) & set(SETTINGS))
    if taken:
        raise TrainingError(
            f"parameter {taken[0]}", "the pipeline has a setting of this name", "rename the model's parameter"
        )
    train = train_component(parameters)

    def training(*channels: Any) -> None:
        given = dict(zip([*SETTINGS, *parameters], channels, strict=True))
        project, registry = given["project"], given["registry"]
        drawn = preprocess(
            project=project, archive=given["archive"], until=given["until"], holdout=given["holdout"]
        )
        dataset = drawn.outputs["dataset"]
        draft = train(project=project, dataset=dataset, **{name: given[name] for name in parameters}).outputs[
            "draft"
        ]
        judged = evaluate(registry=registry, dataset=dataset, draft=draft).outputs
        register(project=project, registry=registry, sealed=judged["sealed"], report=judged["report"])

    # kfp reads the pipeline's parameters from the signature.
    training.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        *(_parameter(name, kind) for name, kind in SETTINGS.items()),
        *(_parameter(name, type(value), value) for name, value in parameters.items()),
    ])  # fmt: skip
    return dsl.pipeline(name="training")(training)


def _parameter(name: str, kind: type, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default)
