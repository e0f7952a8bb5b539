"""What Feast's SDK asks an online store for, as its registry resolves it: worked out once, and used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from feast import ValueType
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.type_map import python_values_to_proto_values

from headrace.declare.types import Kind
from headrace.errors import FeatureError
from headrace.feast.answer import Answer, Column
from headrace.feast.reader import Reader
from headrace.feast.values import scalar
from headrace.features.partials import Scalar

_TYPES: Final[Mapping[Kind, type]] = {"str": str, "int": int, "float": float, "bool": bool, "time": int}
_KINDS: Final[Mapping[str, Kind]] = {"STRING": "str", "INT64": "int", "DOUBLE": "float", "BOOL": "bool"}


@dataclass(frozen=True, slots=True)
class Part:
    """One feature view of a call: the row's column of each key, and the columns by what they are called."""

    reader: Reader
    keys: Mapping[str, str]
    columns: Mapping[str, str]


class Asked:
    """The views and columns of a call.

    context: as Feast resolved it; as long as it gives the same one, this stands.
    """

    def __init__(
        self, context: Any, parts: Sequence[Part], joined: Mapping[str, ValueType], types: Mapping[str, Any]
    ) -> None:
        self.context = context
        self._parts = parts
        self._joined = joined
        self._types = types

    def answer(self, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Answer:
        """The answer to some rows, in their order, each as often as it was given."""
        given = self._given(rows)
        count = len(next(iter(given.values()), []))
        columns = [Column(name, _KINDS[self._joined[name].name], values, ()) for name, values in given.items()]
        for part in self._parts:
            for key, column in part.keys.items():
                if column not in given:
                    subject = f"feature view {part.reader.view.name}"
                    raise FeatureError(subject, f"the rows have no join key {column!r}", f"give each row a {key}")
            picked = [given[column] for column in part.keys.values()]
            requests = [dict(zip(part.keys, row, strict=True)) for row in zip(*picked, strict=True)]
            served = part.reader.serve(requests) if count else []
            times = [one.t for one in served]
            for called, name in part.columns.items():
                columns.append(Column(called, part.reader.kinds[name], [one.values[name] for one in served], times))
        return Answer(columns, self._types)

    def _given(self, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> dict[str, list[Scalar]]:
        """The join keys of the rows as columns, in the types that they have in the registry."""
        if isinstance(rows, Mapping):
            columns = {
                name: list(found.val if isinstance(found, RepeatedValue) else found) for name, found in rows.items()
            }
        else:
            names = rows[0].keys() if rows else ()
            if any(row.keys() != names for row in rows):
                raise FeatureError("Feast's online features", "the rows have different keys", "give all the same")
            columns = {name: [row[name] for row in rows] for name in names}
        if len({len(column) for column in columns.values()}) > 1:
            raise FeatureError("Feast's online features", "the columns differ in length", "give each row every key")
        return {
            name: _typed(column, self._joined[name]) for name, column in columns.items() if name in self._joined
        }


def _typed(column: list[Any], kind: ValueType) -> list[Scalar]:
    wanted = _TYPES[_KINDS[kind.name]]
    if all(type(value) is wanted or value is None for value in column):
        return column
    if not isinstance(column[0], Value):
        column = python_values_to_proto_values(column, kind)
    return [scalar(value) for value in column]
