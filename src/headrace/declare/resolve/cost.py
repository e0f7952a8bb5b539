"""Resolves the declared cost: a classification's, and of columns that every request and every example has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ibis.expr.operations as ops

from headrace.declare.cost import Cost
from headrace.declare.declaration import Feature, Model
from headrace.declare.types import ColumnType
from headrace.errors import DeclarationError


def check_cost(model: Model, request: Mapping[str, ColumnType], features: Sequence[Feature]) -> None:
    """Refuses a cost that some example would not have."""
    if model.cost is None:
        return
    if not isinstance(model.cost, Cost):
        raise DeclarationError(
            f"model {model.name}", f"cost={model.cost!r} is none", "use cost=hr.cost(missed=..., false_alarm=...)"
        )
    if model.task != "classification":
        raise DeclarationError(
            f"model {model.name}",
            f"it has a cost, and is a {model.task}: nothing is decided",
            "leave cost= out, or label a condition",
        )
    for side, column in vars(model.cost).items():
        if isinstance(column, str):
            _check_column(f"cost {side}", column, request, features)


def _check_column(
    subject: str, column: str, request: Mapping[str, ColumnType], features: Sequence[Feature]
) -> None:
    numbers = [name for name, kind in request.items() if kind.kind in ("int", "float") and not kind.nullable]
    remedy = f"name one of {', '.join(numbers)}" if numbers else "give a number"
    if column not in request:
        raise DeclarationError(subject, f"{column!r} is not a column of the request", remedy)
    if column not in numbers:
        raise DeclarationError(
            subject, f"{column} is {request[column]}: a cost is a number, and never null", remedy
        )
    for feature in features:
        if feature.name == column and not _is_column(feature, column):
            raise DeclarationError(
                subject, f"the feature {column} is not the column of that name", "rename the feature"
            )


def _is_column(feature: Feature, column: str) -> bool:
    found = feature.expression.op()
    return isinstance(found, ops.Field) and found.name == column
