"""The versions of one row of a table that an online store keeps: the one in force, and those that will be.

A store holds them as one text a row, and whoever reads at t picks from it; so an adapter needs no ordered index.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A version as it came. row: its columns, times in ms; None where the row was deleted. valid, arrival: ms."""

    key: str
    row: Row | None
    valid: int
    arrival: int


def changes_of(table: pa.Table) -> Iterator[Change]:
    """The changes of a table, in their order. Columns: the table's, `_key`, `_deleted`, `_arrival`, `_valid`."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            column = table.column(place).cast(pa.timestamp("ms")).cast(pa.int64())
            table = table.set_column(place, field.name, column)
    columns = [name for name in table.column_names if not name.startswith("_")]
    system = table.select(["_key", "_deleted", "_valid", "_arrival"]).to_pylist()
    for place, row in zip(system, table.select(columns).to_pylist(), strict=True):
        yield Change(place["_key"], None if place["_deleted"] else row, place["_valid"], place["_arrival"])


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds at an instant. row: with `_valid` (ms), None where deleted. until: the last t that it holds at."""

    row: Row | None
    until: int | None


class Versions:
    """Versions by validity: in force at t is the newest with `valid < t`, before the first one the first.

    t is after `arrival`, the newest of the changes taken; so of the versions valid by then one is enough, and what
    is kept is bounded by what its source dates ahead.

    >>> versions = Versions()
    >>> versions.take(Change("apple", {"days": 3}, valid=10, arrival=10))
    >>> versions.take(Change("apple", {"days": 5}, valid=90, arrival=20))
    >>> versions.at(90), versions.at(91)
    (InForce(row={'days': 3, '_valid': 10}, until=90), InForce(row={'days': 5, '_valid': 90}, until=None))
    >>> Versions.load(versions.dump()).at(21).row
    {'days': 3, '_valid': 10}
    """

    def __init__(self, arrival: int = -1, rows: Mapping[int, Row | None] | None = None) -> None:
        self.arrival = arrival
        self._rows = dict(rows or {})
        self._valid = sorted(self._rows)

    def take(self, change: Change) -> None:
        """Adds a version, which replaces one of the same validity; forgets those that no t can ask for any more."""
        if change.valid not in self._rows:
            insort(self._valid, change.valid)
        self._rows[change.valid] = change.row
        self.arrival = max(self.arrival, change.arrival)
        current = bisect_left(self._valid, self.arrival + 1) - 1
        for valid in self._valid[: max(current, 0)]:
            del self._rows[valid]
        del self._valid[: max(current, 0)]

    def at(self, t: int) -> InForce:
        """What is in force at t (ms). There is at least one version."""
        place = max(bisect_left(self._valid, t) - 1, 0)
        until = self._valid[place + 1] if place + 1 < len(self._valid) else None
        valid = self._valid[place]
        row = self._rows[valid]
        return InForce(None if row is None else {**row, "_valid": valid}, until)

    def dump(self) -> str:
        return json.dumps([self.arrival, [[valid, self._rows[valid]] for valid in self._valid]])

    @classmethod
    def load(cls, text: str) -> Versions:
        arrival, rows = json.loads(text)
        return cls(arrival, dict(rows))
