"""The four steps as Kubeflow components: lightweight Python components, each over one plain function.

Their image must hold headrace with its `train` extra and kfp: nothing is installed when they run.
"""

import inspect
import linecache
from collections.abc import Mapping
from typing import Any, Final

from headrace.errors import MissingExtra
from headrace.training.parameters import Parameter

try:
    from kfp import dsl
    from kfp.dsl import Dataset, Input, Metrics, Model, Output
except ImportError as error:
    raise MissingExtra("training pipeline", "kfp", "train") from error

_IMAGE: Final[Mapping[str, Any]] = {
    "base_image": "python:3.11",
    "packages_to_install": [],
    "install_kfp_package": False,
}


@dsl.component(**_IMAGE)  # type: ignore[untyped-decorator]
def preprocess(project: str, archive: str, until: int, holdout: int, dataset: Output[Dataset]):  # type: ignore[no-untyped-def]
    from headrace.training import steps
    from headrace.training.progress import reported

    facts = reported("preprocess", steps.preprocess, project, archive, until, holdout, dataset.path)
    dataset.metadata.update({name: facts[name] for name in ("train", "holdout", "cut", "until")})


@dsl.component(**_IMAGE)  # type: ignore[untyped-decorator]
def evaluate(  # type: ignore[no-untyped-def]
    registry: str, dataset: Input[Dataset], draft: Input[Model], sealed: Output[Model], report: Output[Metrics]
):
    from headrace.training import steps
    from headrace.training.progress import reported

    facts = reported("evaluate", steps.evaluate, dataset.path, draft.path, registry, sealed.path, report.path)
    sealed.metadata["sha256"] = facts["sha256"]
    for name, value in facts["report"]["model"].items():
        if value is not None:
            report.log_metric(name, value)


@dsl.component(**_IMAGE)  # type: ignore[untyped-decorator]
def register(project: str, registry: str, sealed: Input[Model], report: Input[Metrics]):  # type: ignore[no-untyped-def]
    from headrace.training import steps
    from headrace.training.progress import reported

    reported("register", steps.register, sealed.path, report.path, registry, project)


_TRAIN: Final = """
def train(project: str, dataset: Input[Dataset], draft: Output[Model]{inputs}):
    from headrace.training import steps
    from headrace.training.progress import reported

    parameters = {{{items}}}
    facts = reported("train", steps.train, project, dataset.path, parameters, draft.path)
    draft.metadata.update({{name: facts[name] for name in ("sha256", "library")}})
"""


def train_component(parameters: Mapping[str, Parameter]) -> Any:
    """The component that trains, with each model parameter a typed input of its own.

    Kubeflow ships a component as its source and reads its inputs from the signature, so the source is written for
    the parameters of this model.
    """
    inputs = "".join(f", {name}: {type(value).__name__} = {value!r}" for name, value in parameters.items())
    items = ", ".join(f"{name!r}: {name}" for name in parameters)
    source = _TRAIN.format(inputs=inputs, items=items)
    file = f"<headrace train {hash(source):x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"Input": Input, "Output": Output, "Dataset": Dataset, "Model": Model}
    exec(compile(source, file, "exec"), namespace)
    function = namespace["train"]
    assert inspect.getsource(function).lstrip() == source.lstrip()
    return dsl.component(function, **_IMAGE)
