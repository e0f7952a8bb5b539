"""Feast's protobuf values from and to ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from feast.protos.feast.types.Value_pb2 import Value

from headrace.declare.types import Kind
from headrace.features.partials import Scalar

_NULL: Final = Value()
_OF: Final[Mapping[Kind, Callable[[Any], Value]]] = {
    "str": lambda found: Value(string_val=found),
    "int": lambda found: Value(int64_val=found),
    "float": lambda found: Value(double_val=found),
    "bool": lambda found: Value(bool_val=found),
    "time": lambda found: Value(int64_val=found),
}


def scalar(value: Value) -> Scalar:
    """
    >>> scalar(Value(int64_val=3)), scalar(Value())
    (3, None)
    """
    field = value.WhichOneof("val")
    found: Scalar = None if field is None else getattr(value, field)
    return found


def proto(kind: Kind, found: Scalar) -> Value:
    """
    >>> scalar(proto("bool", True)), scalar(proto("int", None))
    (True, None)
    """
    return _NULL if found is None else _OF[kind](found)


def values_of(values: Mapping[str, Scalar], kinds: Mapping[str, Kind], names: Iterable[str]) -> dict[str, Value]:
    return {name: proto(kinds[name], values[name]) for name in names}
