"""Which dead letters there are: a record repairs one of these, or nothing."""

from __future__ import annotations

from typing import Final

import pyarrow.compute as pc

from headrace.log.batches import Framed
from headrace.log.contract import Log
from headrace.stream.repairs import DEAD_ID, Id

_LIMIT: Final = 10_000


class Issued:
    """The ids of one stream's dead letters, read from their topic when first asked for, and on from there.

    A record's first dead letter stands in the partition that its id names. topic: the raw one, dead: its letters'.
    """

    def __init__(self, log: Log, topic: str, dead: str) -> None:
        self._log, self._topic, self._dead = log, topic, dead
        self._read: dict[int, int] = {}
        self._offsets: dict[int, set[int]] = {}

    def holds(self, id_: Id) -> bool:
        """Whether a dead letter of this id stands on the log."""
        if not self._read:
            bounds = self._log.bounds(self._dead)
            self._read = {partition: first for partition, (first, _) in enumerate(bounds)}
            self._offsets = {partition: set() for partition in self._read}
        if id_.partition not in self._read:
            return False
        known = self._offsets[id_.partition]
        if id_.offset not in known:
            self._go_on(id_.partition)
        return id_.offset in known

    def _go_on(self, partition: int) -> None:
        while batches := self._log.read(self._dead, partition, self._read[partition], _LIMIT):
            for batch in batches:
                if isinstance(batch.content, Framed):
                    headers = batch.content.records.column("headers")
                    for text in headers.items.filter(pc.equal(headers.keys, DEAD_ID)).to_pylist():
                        found = Id.parse(self._topic, text)
                        if found is not None and found.partition == partition:
                            self._offsets[partition].add(found.offset)
            self._read[partition] = batches[-1].end
