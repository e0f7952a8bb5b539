"""Formats in which models are stored: native to their library, and never executable (no pickle)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.errors import ModelError
from headrace.models.encoding import Encoding, Matrix
from headrace.models.explanation import Terms


class Predictor(Protocol):
    """A model that was read back. Its predictions do not depend on the number of rows asked for at once."""

    def predict(self, matrix: Matrix) -> Any:
        """Predictions for a matrix of float64, shape (rows, columns): an array of shape (rows,)."""
        ...

    def contributions(self, matrix: Matrix) -> Terms:
        """What each column gave to each prediction: shape (rows, columns + 1), the base last. They sum to it."""
        ...


class Asked(Protocol):
    """A model that was read back and can only be asked."""

    def predict(self, matrix: Matrix) -> Any: ...


class Format(Protocol):
    """How models of one library are stored."""

    def version(self) -> str:
        """The library and its version, for the record."""
        ...

    def write(self, model: Any, path: Path, encoding: Encoding) -> None:
        """encoding: of x, on which it was fitted."""
        ...

    def read(self, path: Path, encoding: Encoding) -> Any:
        """A Predictor where it explains itself, else an Asked."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """A format, not imported yet (a library takes seconds).

    file: of the model in the artifact's folder. explains: its models tell what each feature gave; others are
    explained by asking them, over a sample of the training examples.
    """

    file: str
    module: str
    adapter: str
    explains: bool = False

    def open(self) -> Format:
        found: Format = getattr(import_module(self.module), self.adapter)()
        return found


FORMATS: Final[Mapping[str, Known]] = {
    "xgboost": Known("model.ubj", "headrace.models.xgboost_format", "XGBoostFormat", explains=True),
    "sklearn": Known("model.skops", "headrace.models.sklearn_format", "SklearnFormat"),
    "torch": Known("model.onnx", "headrace.models.torch_format", "TorchFormat"),
}
"""By name, which is also the first part of the module of the models' classes."""


def format_named(name: str) -> Known:
    """The format of a stored model, by the name of its library."""
    if name not in FORMATS:
        raise ModelError(f"model format {name!r}", "no such format", f"use a model of {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of(model: Any) -> str:
    """The name of the format in which a fitted model can be stored.

    >>> try:
    ...     format_of(object())
    ... except ModelError as error:
    ...     print(error)
    model object: models of 'builtins' have no native format here. To mend it: ...
    """
    for kind in type(model).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in FORMATS:
            return name
    library = type(model).__module__.partition(".")[0]
    raise ModelError(
        f"model {type(model).__name__}",
        f"models of {library!r} have no native format here",
        f"return a fitted model of {' or '.join(FORMATS)}",
    )
