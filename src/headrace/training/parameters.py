"""A model's parameters: the declared defaults, some overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headrace.declare.declaration import Model
from headrace.errors import TrainingError

Parameter = int | float | str | bool

_BOOLS: Final = {"true": True, "false": False}


def parameters_of(model: Model, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """All parameters of a model, those given overriding; a text is read as the kind of the declared default.

    TrainingError for an unknown name or a value of another kind.

    >>> model = Model("train", lambda x, y: None, {"depth": 6, "rate": 0.1}, 7, "regression")
    >>> parameters_of(model, {"depth": "8", "rate": 1})
    {'depth': 8, 'rate': 1.0}
    """
    for name in given:
        if name not in model.parameters:
            known = ", ".join(model.parameters) or "none"
            raise TrainingError(f"parameter {name}", f"model {model.name} has no such parameter", f"it has {known}")
    return {
        name: _read(name, default, given[name]) if name in given else default
        for name, default in model.parameters.items()
    }


def _read(name: str, default: Parameter, value: Parameter) -> Parameter:
    kind = type(default)
    if isinstance(default, bool):
        found = value if isinstance(value, bool) else _BOOLS.get(str(value).lower())
        if found is not None:
            return found
    elif isinstance(default, str):
        return str(value)
    elif not isinstance(value, bool):
        try:
            read = kind(value)
        except ValueError:
            read = None
        if read is not None and (isinstance(value, str) or read == value):
            return read
    raise TrainingError(f"parameter {name}", f"{value!r} is not of kind {kind.__name__}", f"as in {name}={default}")
