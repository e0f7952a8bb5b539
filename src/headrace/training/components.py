"""The four steps as Kubeflow components: lightweight Python components, each over one plain function.

Their image must hold headrace with its `train` extra and the project: nothing is installed when they run.
"""

import inspect
import linecache
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.errors import MissingExtra
from headrace.training.parameters import Parameter

try:
    from kfp import dsl
    from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output
except ImportError as error:
    raise MissingExtra("training pipeline", "kfp", "train") from error

NOWHERE: Final = "headrace/none:0"
"""The image of a component that is only run on this machine."""


@dataclass(frozen=True)
class Components:
    """The four, in an image."""

    preprocess: Any
    train: Any
    evaluate: Any
    register: Any

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter], image: str = NOWHERE) -> "Components":
        functions = (preprocess, _trainer(parameters), evaluate, register)
        return cls(*(_component(function, image) for function in functions))


def _component(function: Any, image: str) -> Any:
    return dsl.component(function, base_image=image, packages_to_install=[], install_kfp_package=False)


def preprocess(project: str, archive: str, until: int, holdout: int, dataset: Output[Dataset]):  # type: ignore[no-untyped-def]
    from headrace.training import steps
    from headrace.training.progress import step

    with step("preprocess", outputs={"dataset": dataset}) as tell:
        facts = tell(steps.preprocess(project, archive, until, holdout, dataset.path))
        dataset.metadata.update({name: facts[name] for name in ("train", "holdout", "cut", "until")})


def evaluate(  # type: ignore[no-untyped-def]
    registry: str,
    dataset: Input[Dataset],
    draft: Input[Model],
    sealed: Output[Model],
    report: Output[Metrics],
    page: Output[HTML],
):
    import shutil

    from headrace.training import steps
    from headrace.training.progress import step

    inputs, outputs = {"dataset": dataset, "draft": draft}, {"sealed": sealed, "report": report, "page": page}
    with step("evaluate", inputs, outputs) as tell:
        facts = tell(steps.evaluate(dataset.path, draft.path, registry, sealed.path, report.path))
        shutil.copyfile(facts["page"], page.path)
        sealed.metadata["sha256"] = facts["sha256"]
        for name, value in facts["report"]["model"].items():
            if value is not None:
                report.log_metric(name, value)


def register(  # type: ignore[no-untyped-def]
    project: str,
    archive: str,
    registry: str,
    until: int,
    holdout: int,
    job: str,
    sealed: Input[Model],
    report: Input[Metrics],
    page: Input[HTML],
):
    from headrace.training import steps
    from headrace.training.progress import step

    drawn = {"archive": archive, "until": until, "holdout": holdout, "job": job}
    with step("register", {"sealed": sealed, "report": report, "page": page}) as tell:
        tell(steps.register(sealed.path, report.path, registry, project, drawn, page.path))


_TRAIN: Final = """
def train(project: str, dataset: Input[Dataset], draft: Output[Model]{inputs}):
    from headrace.training import steps
    from headrace.training.progress import step

    with step("train", {{"dataset": dataset}}, {{"draft": draft}}) as tell:
        facts = tell(steps.train(project, dataset.path, {{{items}}}, draft.path))
        draft.metadata.update({{name: facts[name] for name in ("sha256", "library")}})
"""


def _trainer(parameters: Mapping[str, Parameter]) -> Any:
    """The function that trains, with each model parameter a typed input of its own.

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
    return function
