"""Formats in which models are stored: native to their library, and never executable (no pickle)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.errors import ModelError
from headrace.models.encoding import Matrix


class Predictor(Protocol):
    """A model that was read back. Its predictions do not depend on the number of rows asked for at once."""

    def predict(self, matrix: Matrix) -> Any:
        """Predictions for a matrix of float64, shape (rows, columns): an array of shape (rows,)."""
        ...


class Format(Protocol):
    """How models of one library are stored."""

    def version(self) -> str:
        """The library and its version, for the record."""
        ...

    def write(self, model: Any, path: Path) -> None: ...

    def read(self, path: Path) -> Predictor: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A format, not imported yet (a library takes seconds). file: of the model in the artifact's folder."""

    file: str
    module: str
    adapter: str

    def open(self) -> Format:
        found: Format = getattr(import_module(self.module), self.adapter)()
        return found


FORMATS: Final[Mapping[str, Known]] = {
    "xgboost": Known("model.ubj", "headrace.models.xgboost_format", "XGBoostFormat"),
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
    model object: models of 'builtins' have no native format here. To mend it: return a fitted model of xgboost
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
