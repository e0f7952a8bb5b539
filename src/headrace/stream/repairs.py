"""Repaired dead letters on their way back: records that carry their dead letter's id in a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.log.batches import Batch, Framed

HEADER: Final = "headrace-repairs"
DEAD_ID: Final = "headrace-id"
"""The header of a dead letter that has its id."""
_ID: Final = re.compile(rb"(.+)/([0-9]{1,9})/([0-9]{1,19})", re.DOTALL)
_SHOWN: Final = 200
Place = tuple[int, int]
"""Partition and offset in the raw topic."""


@dataclass(frozen=True, slots=True)
class Id:
    """A raw record's place: `<topic>/<partition>/<offset>`.

    >>> Id.parse("shop.sales", b"shop.sales/3/17")
    Id(topic='shop.sales', partition=3, offset=17)
    >>> Id.parse("shop.sales", b"other/3/17") is None
    True
    """

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, topic: str, text: bytes) -> Id | None:
        """The id of a record of that topic; None where the text is not one."""
        match = _ID.fullmatch(text)
        if match is None or match[1] != topic.encode() or int(match[3]) >= 2**63:
            return None
        return cls(topic, int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Repairs:
    """The repaired records among some batches of one raw topic.

    issued: whether there is a dead letter of an id. What repairs none is refused, however its id came about: it
    would count beside the record of that id, which was good.
    """

    def __init__(self, topic: str, batches: Sequence[Batch], issued: Callable[[Id], bool]) -> None:
        self.ids: dict[Place, Id] = {}
        """For each repaired record's own place the id that it carries."""
        self.refused: dict[Place, str] = {}
        """Those whose header is not the id of a dead letter of this topic, with the cause."""
        for place, header in _headers(batches):
            found = Id.parse(topic, header)
            if found is None:
                self.refused[place] = f"the header {HEADER} is {header[:_SHOWN]!r}, not the id of a dead letter"
            elif not issued(found):
                self.refused[place] = (
                    f"the header {HEADER} is {str(found)!r}, and there is no dead letter of this id"
                )
            else:
                self.ids[place] = found

    def adopted(self, table: pa.Table) -> pa.Table:
        """The table, with each repaired record at its dead letter's `_partition` and `_offset`, and `_repaired`."""
        partitions, offsets = (table.column(name).to_numpy().copy() for name in ("_partition", "_offset"))
        flags = np.zeros(table.num_rows, np.bool_)
        for row, place in enumerate(zip(partitions.tolist(), offsets.tolist(), strict=True)):
            if place in self.ids:
                flags[row] = True
                partitions[row], offsets[row] = self.ids[place].partition, self.ids[place].offset
        table = table.drop_columns(["_partition", "_offset"])
        new = {"_partition": partitions, "_offset": offsets, "_repaired": flags}
        for name, values in new.items():
            table = table.append_column(name, pa.array(values))
        return table

    def first(
        self, places: Sequence[Place], counted: Callable[[Id], bool]
    ) -> tuple[npt.NDArray[np.bool_], list[Id]]:
        """Of records that passed (by their own places), which count: a repaired one only the first time.

        counted: whether an id counted before. Gives also the ids that count now.
        """
        good = np.ones(len(places), np.bool_)
        new: dict[Id, None] = {}
        for row, place in enumerate(places):
            if place in self.ids:
                found = self.ids[place]
                if found in new or counted(found):
                    good[row] = False
                new[found] = None
        return good, [found for found in new if not counted(found)]


def _headers(batches: Sequence[Batch]) -> list[tuple[Place, bytes]]:
    found = []
    for batch in batches:
        if not isinstance(batch.content, Framed):
            continue
        headers = batch.content.records.column("headers")
        if headers.null_count == len(headers):
            continue
        for row, pairs in enumerate(headers.to_pylist()):
            given = dict(pairs or ())
            if HEADER in given:
                found.append(((batch.partition, batch.offset + row), given[HEADER] or b""))
    return found
