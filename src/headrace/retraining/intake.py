"""The intake: what arrived and was enriched, and what became a dead letter, by arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration
from headrace.declare.topics import Topics
from headrace.log.batches import Framed, Partition
from headrace.log.contract import Log

CORRUPT: Final = 0.2
"""No model is trained while a larger share than this of the records since the last training were dead letters."""


@dataclass(frozen=True, slots=True)
class Intake:
    """How many records of some time were enriched, and how many became dead letters."""

    enriched: int
    dead: int

    @property
    def corrupt(self) -> bool:
        """
        >>> Intake(80, 20).corrupt, Intake(79, 21).corrupt
        (False, True)
        """
        total = self.enriched + self.dead
        return total > 0 and self.dead / total > CORRUPT


class Intakes:
    """Counts by arrival, so that what came in meanwhile changes no count. History is not counted.

    Enriched records are counted in the archive, dead letters in their topics, read on at each call.
    """

    def __init__(self, declaration: Declaration, log: Log, archive: Archive) -> None:
        topics = Topics.of(declaration)
        self._enriched = [topics.enriched(title) for title in declaration.streams]
        self._dead = [topics.dead(title) for title in declaration.streams]
        self._log = log
        self._archive = archive
        self._read: dict[Partition, int] = {}
        self._letters: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def between(self, since: int | None, until: int) -> Intake:
        """What arrived in `[since, until)`, ms; None is the beginning. `since` never goes back."""
        begin = 0 if since is None else since
        arrival = pc.field("_arrival")
        where = (arrival >= begin) & (arrival < until) & pc.field("_file").is_null()
        enriched = sum(
            self._archive.read(name, columns=["_arrival"], where=where).num_rows for name in self._enriched
        )
        self._read_on()
        self._letters = self._letters[self._letters >= begin]
        return Intake(enriched, int((self._letters < until).sum()))

    def _read_on(self) -> None:
        there = {topic.name for topic in self._log.topics()}
        found = [self._letters]
        for topic in self._dead:
            for partition, (first, last) in enumerate(self._log.bounds(topic) if topic in there else []):
                offset = max(first, self._read.get((topic, partition), first))
                while offset < last:
                    for batch in self._log.read(topic, partition, offset, 10_000):
                        if isinstance(batch.content, Framed):
                            found.append(batch.content.records.column("arrival").to_numpy())
                        offset = batch.end
                self._read[topic, partition] = offset
        self._letters = np.concatenate(found)
