"""The enrich role: raw topics to enriched topics and dead letters, each step one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.retention import EVENTS
from headrace.declare.topics import Topics
from headrace.log.batches import Batch, Content, Mark, Partition
from headrace.log.contract import Log, Topic, Transaction
from headrace.schema.avro import decode, encode_block, nullable_schema
from headrace.schema.contract import AvroSchema, Schemas
from headrace.stream.changes import Lookups
from headrace.stream.cuts import Cuts
from headrace.stream.edges import live
from headrace.stream.enrichment import Enrichment
from headrace.stream.intake import Intake
from headrace.stream.issued import Issued
from headrace.stream.layouts import enriched_columns
from headrace.stream.letters import Letters
from headrace.stream.producer import raw_schema
from headrace.stream.repairs import Id, Repairs

ROLE: Final = "enrich"
Timed = Callable[[str], AbstractContextManager[None]]
"""Measures a part of a step; for benchmarks."""


class Enricher:
    """Checks and joins every stream's records.

    The enriched record stands in the partition of its raw one. Nothing is read before every joined table has been
    loaded once. The cuts of streams whose history is backfilled are taken up before each step (`stream.cuts`).
    limit: of records in one micro-batch (a batch of the log is never cut, so it may be a few more).
    """

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        *,
        limit: int = 32_768,
        timed: Timed = lambda part: nullcontext(),
    ) -> None:
        self._log, self._schemas, self._limit, self._timed = log, schemas, limit, timed
        self._topics = Topics.of(declaration)
        streams = declaration.streams.values()
        self._channels = {stream.topic: _Channel(stream, self._topics, log, schemas, timed) for stream in streams}
        joined = {join.table.title: join.table for stream in streams for join in stream.joins}
        self._joined = [(table, self._topics.table(title)) for title, table in joined.items()]
        self._writer = log.writer(ROLE)
        self._begin()

    def _begin(self) -> None:
        committed = self._log.committed(ROLE)
        self._mark = committed.mark
        self._cuts = Cuts(self._log, self._schemas, self._topics.cuts)
        self._intake = Intake(self._log, list(self._channels), committed.positions)
        self._lookups = Lookups(self._log, self._schemas, self._joined)

    def step(self) -> int:
        """Takes one micro-batch, or passes one mark; how many records (a mark in one partition counts as one)."""
        try:
            self._take_up_cuts()
            for topic in self._intake.join():
                self._channels[topic].open()
            if not self._lookups.ready(self._mark):
                return 0
            since = dict(self._intake.positions)
            batches = self._intake.take(self._limit)
            if batches:
                return self._process(batches, since)
            mark = self._intake.standing()
            return 0 if mark is None else self._pass(mark)
        except BaseException:  # also an interrupt; it is raised again
            self._begin()  # what is committed counts
            raise

    def close(self) -> None:
        """Gives back the right to write."""
        self._writer.close()
        for channel in self._channels.values():
            channel.close()

    def _take_up_cuts(self) -> None:
        """Judges by the newest cuts, and lets it be known: all that is committed later is judged so."""
        if self._cuts.advance():
            for channel in self._channels.values():
                channel.begin_at(self._cuts.known)
            with self._writer.transaction() as transaction:
                transaction.commit({(self._topics.cuts, 0): self._cuts.position})

    def _process(self, batches: Sequence[Batch], since: Mapping[Partition, int]) -> int:
        by_topic: dict[str, list[Batch]] = defaultdict(list)
        for batch in batches:
            by_topic[batch.topic].append(batch)
        lookups = self._lookups.tables()
        outputs = [
            self._channels[topic].process(found, since, lookups, self._writer.kept)
            for topic, found in by_topic.items()
        ]
        with self._timed("append"), self._writer.transaction() as transaction:
            for output in outputs:
                output.append(transaction)
            transaction.commit(self._intake.positions)
        return sum(position - since[place] for place, position in self._intake.positions.items())

    def _pass(self, mark: int) -> int:
        """Passes a mark, once the tables' changes up to it hold."""
        self._lookups.ready(mark)
        if self._joined and not self._lookups.reached(mark):
            return 0
        passed = self._intake.pass_mark(mark)
        with self._writer.transaction() as transaction:
            for channel in self._channels.values():
                channel.mark(transaction, mark)
            transaction.commit(self._intake.positions, mark)
        self._mark = mark
        return passed


@dataclass(frozen=True)
class _Output:
    """What one stream's batches give, before it is written. kept: names to keep, of repaired records that count."""

    contents: list[tuple[str, int, Content]]
    kept: list[str]

    def append(self, transaction: Transaction) -> None:
        for topic, partition, content in self.contents:
            transaction.append(topic, partition, content)
        for name in self.kept:
            transaction.keep(name, b"1")


class _Channel:
    """One stream on its way from its raw topic to its enriched and dead ones."""

    def __init__(self, stream: StreamDef, topics: Topics, log: Log, schemas: Schemas, timed: Timed) -> None:
        self._stream, self._log, self._schemas, self._timed = stream, log, schemas, timed
        self._enriched, self._dead = topics.enriched(stream.title), topics.dead(stream.title)
        self._enrichment = Enrichment(stream, live(stream))
        self._columns = enriched_columns(stream)
        self._issued = Issued(log, stream.topic, self._dead)
        self._partitions = 0

    def open(self) -> None:
        """Makes the topics and the schema, with as many partitions as the raw topic has."""
        self._partitions = self._log.topic(self._stream.topic).partitions
        self._log.create(Topic(self._enriched, ROLE, self._partitions, EVENTS))
        self._log.create(Topic(self._dead, ROLE, self._partitions))
        schema = nullable_schema(self._enriched, self._columns)
        self._schema_id = self._schemas.register(f"{self._enriched}-value", schema).id
        self._reader = self._raw_schema()

    def begin_at(self, cuts: Mapping[str, int]) -> None:
        """Refuses from now on what lies before the stream's cut."""
        self._enrichment.close()
        self._enrichment = Enrichment(self._stream, live(self._stream, cuts.get(self._stream.title)))

    def close(self) -> None:
        self._enrichment.close()

    def mark(self, transaction: Transaction, mark: int) -> None:
        for name in (self._enriched, self._dead):
            for partition in range(self._partitions):
                transaction.append(name, partition, Mark(mark))

    def process(
        self,
        batches: Sequence[Batch],
        since: Mapping[Partition, int],
        lookups: Mapping[str, pa.Table],
        kept: Callable[[str], bytes | None],
    ) -> _Output:
        """What batches of the raw topic give. kept: what the role has kept under a name."""
        batches = sorted(batches, key=lambda batch: batch.partition)  # so that each partition's rows are together
        repairs = Repairs(self._stream.topic, batches, self._issued.holds)
        letters = Letters(self._stream.topic, batches, repairs)
        with self._timed("decode"):
            decoded = decode(batches, self._schemas, self._reader, self._stream.columns, since)
        for bad in decoded.undecodable.to_pylist():
            letters.add((bad["_partition"], bad["_offset"]), "undecodable", bad["reason"])
        table = self._well_formed(decoded.table, repairs, letters)
        partitions, offsets = (table.column(name).to_numpy() for name in ("_partition", "_offset"))
        with self._timed("join+check"):
            raw = repairs.adopted(table) if repairs.ids else table
            joins = {join.table.title: lookups[join.table.title] for join in self._stream.joins}
            found = self._enrichment.apply(raw, joins)
        for row in found.dead.to_pylist():
            place = row["_row"]
            letters.add((int(partitions[place]), int(offsets[place])), row["reason"], row["detail"])
        enriched, ids = found.table, list[Id]()
        if repairs.ids:
            rows = enriched.column("_row").to_numpy()
            places = list(zip(partitions[rows].tolist(), offsets[rows].tolist(), strict=True))
            good, ids = repairs.first(places, lambda id_: kept(f"repaired/{id_}") is not None)
            enriched = enriched.filter(pa.array(good))
        with self._timed("encode"):
            contents = list(self._blocks(enriched, partitions[enriched.column("_row").to_numpy()]))
        contents += [(self._dead, partition, framed) for partition, framed in letters.framed()]
        return _Output(contents, [f"repaired/{id_}" for id_ in ids])

    def _well_formed(self, table: pa.Table, repairs: Repairs, letters: Letters) -> pa.Table:
        """The records but those that claim to repair what is no dead letter."""
        if not repairs.refused:
            return table
        places = zip(table.column("_partition").to_pylist(), table.column("_offset").to_pylist(), strict=True)
        good = []
        for place in places:
            good.append(place not in repairs.refused)
            if not good[-1]:
                letters.add(place, "undecodable", repairs.refused[place])
        return table.filter(pa.array(good))

    def _blocks(self, table: pa.Table, places: npt.NDArray[np.int64]) -> Iterator[tuple[str, int, Content]]:
        table = table.select(list(self._columns))
        bounds = [*np.flatnonzero(np.diff(places, prepend=-1)).tolist(), len(places)]
        for begin, end in pairwise(bounds):
            part = table.slice(begin, end - begin)
            newest = int(part.column("_arrival").to_numpy().max())
            yield self._enriched, int(places[begin]), encode_block(part, self._schema_id, newest)

    def _raw_schema(self) -> AvroSchema:
        """The newest registered schema that has every declared column, else the declared one."""
        latest = self._schemas.latest(f"{self._stream.topic}-value")
        if latest is not None and set(self._stream.columns) <= {field["name"] for field in latest.schema["fields"]}:
            return latest.schema
        return raw_schema(self._stream)
