"""Resolves the label and the model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Final

from headrace.declare.declaration import Label, Model, StreamDef, Task
from headrace.declare.label import RESERVED, Each, Future, Outcome
from headrace.declare.parts import LabelPart, ModelPart, Parts
from headrace.declare.resolve.streams import evaluated, typed
from headrace.declare.row import Row, relation
from headrace.declare.types import ColumnType
from headrace.errors import DeclarationError

SETTINGS: Final[Mapping[str, type]] = {
    "project": str,
    "archive": str,
    "registry": str,
    "until": int,
    "holdout": int,
}
"""The training pipeline's own parameters."""


def resolve_label(part: LabelPart, parts: Parts, streams: Mapping[str, StreamDef]) -> Label:
    """The label, over the enriched records of its stream."""
    name = part.function.__name__
    subject = f"label {name}"
    stream = streams[part.stream.title()]
    record = relation(stream.enriched)
    row = Row(f"enriched stream {part.stream.__name__}", {column: record[column] for column in stream.enriched})
    definition = evaluated(part.function, subject, row)
    if name in RESERVED:
        raise DeclarationError(subject, f"{name!r} is a name of the system's own", "rename the function")
    if isinstance(definition, Future):
        kind = _future_type(definition, subject)
        for key in parts.entity:
            if key not in stream.enriched:
                raise DeclarationError(
                    subject, f"the entity's {key!r} is not a column of {stream.title}", "label a stream that has it"
                )
    elif isinstance(definition, Outcome):
        kind = typed(definition.expression, subject)
        _check_outcome(definition, part, stream, streams, subject)
    else:
        raise DeclarationError(subject, f"it gives {type(definition).__name__}", "return future.* or outcome(...)")
    if kind.kind not in ("int", "float", "bool"):
        raise DeclarationError(subject, f"it is {kind}", "a label is a number or a condition")
    return Label(name, stream.title, definition, part.examples, ColumnType(kind.kind))


def _future_type(definition: Future, subject: str) -> ColumnType:
    if definition.expression is None:
        return ColumnType("int")
    kind = typed(definition.expression, subject)
    if kind.kind not in ("int", "float"):
        raise DeclarationError(
            subject,
            f"{definition.aggregate} of {kind}",
            "give it a number: `condition.cast('int64')` for a condition",
        )
    return ColumnType("float") if definition.aggregate == "mean" else kind


def _check_outcome(
    definition: Outcome, part: LabelPart, stream: StreamDef, streams: Mapping[str, StreamDef], subject: str
) -> None:
    if not isinstance(part.examples, Each):
        raise DeclarationError(subject, "an outcome needs the event that it judges", "use examples=each(Stream)")
    if part.examples.stream is part.stream:
        raise DeclarationError(
            subject,
            "the outcome stands in the very event that is scored: it would leak into the features",
            "declare the outcome as a stream of its own that arrives later",
        )
    example = streams[part.examples.stream.title()]
    for side in (stream, example):
        if definition.match not in side.columns:
            raise DeclarationError(
                subject,
                f"match={definition.match!r} is not a column of {side.title}",
                "name a column of both streams",
            )


def resolve_model(part: ModelPart, label: Label) -> Model:
    """The model: its parameters are those of the function after x and y."""
    name = part.function.__name__
    parameters: dict[str, int | float | str | bool] = {}
    names = list(inspect.signature(part.function).parameters.items())
    if len(names) < 2:
        raise DeclarationError(f"model {name}", "it takes no x and y", "write def train(x, y, depth: int = 6)")
    for parameter, spec in names[2:]:
        if not isinstance(spec.default, int | float | str | bool):
            raise DeclarationError(
                f"model {name}", f"its parameter {parameter!r} has no default", "give it a number, text or bool"
            )
        if parameter in SETTINGS:
            raise DeclarationError(
                f"model {name}", f"its parameter {parameter!r} is one of the pipeline's own", "rename it"
            )
        parameters[parameter] = spec.default
    task: Task = "classification" if label.type.kind == "bool" else "regression"
    return Model(name, part.function, parameters, part.seed, task, part.cost)
