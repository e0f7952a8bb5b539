"""What Feast's SDK is answered: columns of plain values, and the protobuf of them when somebody asks for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from google.protobuf.timestamp_pb2 import Timestamp

from headrace.declare.types import Kind
from headrace.feast.values import proto
from headrace.features.partials import Scalar


@dataclass(frozen=True, slots=True)
class Column:
    """times: of each value, ms; none for a key."""

    name: str
    kind: Kind
    values: Sequence[Scalar]
    times: Sequence[int]


class Answer(OnlineResponse):
    """An online response that makes its protobuf only when it is asked for: most callers want the values."""

    def __init__(self, columns: Sequence[Column], types: Mapping[str, Any]) -> None:
        self._columns = columns
        self._feature_types = dict(types)

    @cached_property
    def proto(self) -> Any:
        """Null values have the status NULL_VALUE."""
        found = GetOnlineFeaturesResponse()
        for column in self._columns:
            found.metadata.feature_names.val.append(column.name)
            present, null = FieldStatus.PRESENT, FieldStatus.NULL_VALUE
            found.results.add(
                values=[proto(column.kind, value) for value in column.values],
                statuses=[null if value is None else present for value in column.values],
                event_timestamps=[_timestamp(t) for t in column.times] or [Timestamp()] * len(column.values),
            )
        return found

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for column in self._columns:
            found[column.name] = list(column.values)
            if include_event_timestamps:
                times = [t // 1000 for t in column.times] or [0] * len(column.values)
                found[column.name + TIMESTAMP_POSTFIX] = times
        return found


def _timestamp(t: int) -> Timestamp:
    return Timestamp(seconds=t // 1000, nanos=t % 1000 * 1_000_000)
