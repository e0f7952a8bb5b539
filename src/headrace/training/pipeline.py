"""The training pipeline. Every setting and every parameter of the model is a pipeline parameter."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from kfp import dsl

from headrace.declare.resolve.labels import SETTINGS
from headrace.errors import TrainingError
from headrace.training.components import NOWHERE, Components
from headrace.training.deployment import Deployment
from headrace.training.parameters import Parameter

_TITLES: Final[Mapping[str, str]] = {
    "preprocess": "Draw the training set",
    "train": "Train",
    "evaluate": "Evaluate on the holdout",
    "register": "Register the model",
}
_SETTINGS: Final[Mapping[str, str]] = {
    "project": "The project file, where the steps run.",
    "archive": "The archive, a folder or a URI that every step can reach.",
    "registry": "MLflow, on SQLite or the address of a tracking server.",
    "until": "Use what had arrived before this instant, in ms since 1970, UTC.",
    "holdout": "How much of the newest mature history judges the model, in ms.",
}
_CACHED: Final = ("train",)
"""Steps whose outputs follow from their inputs alone: the archive grows, the registry's champion changes."""


def pipeline(
    parameters: Mapping[str, Parameter], name: str = "training", deployment: Deployment | None = None
) -> Any:
    """The pipeline of a model with these parameters (their defaults): a kfp pipeline, to run or to compile to YAML.

    deployment: for a Kubeflow; None runs on this machine. TrainingError where a model parameter has the name of a
    setting.
    """
    taken = sorted(set(parameters) & set(SETTINGS))
    if taken:
        raise TrainingError(
            f"parameter {taken[0]}", "the pipeline has a setting of this name", "rename the model's parameter"
        )
    made = Components.of(parameters, NOWHERE if deployment is None else deployment.image)

    declared = [
        *(_parameter(name, kind, None if deployment is None else deployment.settings.get(name))
          for name, kind in SETTINGS.items()),
        *(_parameter(name, type(value), value) for name, value in parameters.items()),
    ]  # fmt: skip
    declared.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    def training(*channels: Any) -> None:
        given = dict(zip([parameter.name for parameter in declared], channels, strict=True))

        def task(step: str, *settings: str, **inputs: Any) -> Any:
            chosen = {setting: given[setting] for setting in settings}
            return _placed(getattr(made, step)(**chosen, **inputs), step, deployment)

        dataset = task("preprocess", "project", "archive", "until", "holdout").outputs["dataset"]
        draft = task("train", "project", *parameters, dataset=dataset).outputs["draft"]
        judged = task("evaluate", "registry", dataset=dataset, draft=draft).outputs
        task("register", *SETTINGS, job=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **judged)

    # kfp reads the pipeline's parameters from the signature, and what they mean from the docstring.
    training.__signature__ = inspect.Signature(declared)  # type: ignore[attr-defined]
    described = {**_SETTINGS, **dict.fromkeys(parameters, "A parameter of the model.")}
    listed = "\n".join(f"    {parameter}: {text}" for parameter, text in described.items())
    training.__doc__ = f"Draws, trains, evaluates and registers.\n\nArgs:\n{listed}\n"
    return dsl.pipeline(name=name, display_name=name)(training)


def _placed(task: Any, step: str, deployment: Deployment | None) -> Any:
    task.set_display_name(_TITLES[step])
    task.set_caching_options(enable_caching=step in _CACHED)
    if deployment is not None:
        wanted = deployment.resources[step]
        task.set_cpu_request(wanted.cpu[0]).set_cpu_limit(wanted.cpu[1])
        task.set_memory_request(wanted.memory[0]).set_memory_limit(wanted.memory[1])
        task.set_retry(wanted.tries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")
        task.platform_config["kubernetes"] = deployment.environment()
    return task


def _parameter(name: str, kind: type, default: Any = None) -> inspect.Parameter:
    given = inspect.Parameter.empty if default is None else default
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=given)
