"""The enrich role on Flink: mirrors the joined tables, and keeps one job of all streams running."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from headrace.declare.declaration import Declaration
from headrace.declare.duration import SECOND
from headrace.declare.topics import Topics
from headrace.log.batches import Partition
from headrace.log.consumer import Consumer
from headrace.log.contract import Log, Topic
from headrace.schema.contract import Schemas
from headrace.stream.changes import ROLE as TABLES
from headrace.stream.changes import Lookups
from headrace.stream.cuts import Cuts
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.enriching import ROLE, enrich_job
from headrace.stream.flink.gateway import Gateway
from headrace.stream.flink.life import Life
from headrace.stream.flink.mirror import Mirror
from headrace.stream.flink.outcome import Outcome
from headrace.stream.flink.readers import readers

ABORTED: Final = 20 * SECOND
"""How long (ms) after the maximum outage the brokers have surely aborted a transaction that was left open."""
_SAY: Final = logging.getLogger("headrace.flink")


class FlinkEnricher:
    """Begins once every raw topic is there and every joined table was loaded, as on every engine.

    `step` does a little and never waits for long. A new cut (`stream.cuts`) is taken up by a job of a new text,
    which goes on from the savepoint of the one before: only then is it committed as known. now: the wall clock, ms.
    """

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        cluster: Cluster,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._now = now
        self._declaration, self._log, self._schemas, self._cluster = declaration, log, schemas, cluster
        self._topics = Topics.of(declaration)
        self._writer = log.writer(ROLE)
        self._cuts = Cuts(log, schemas, self._topics.cuts)
        self._gateway = Gateway(cluster.gateway, cluster.rest)
        self._mirror = Mirror(declaration, schemas, cluster.lookup)
        self._consumer = Consumer(log, self._mirror.topics, self._mirror)
        self._life: Life | None = None
        self._known = 0

    def step(self) -> int:
        """Mirrors what changed and looks after the job; how many changes."""
        changed = self._consumer.step()
        if self._cuts.advance() or (self._life is not None and self._age(self._life) > self._cluster.outage):
            self._life = None
        if self._life is None and self._ready():
            self._life = self._begun()
        if (self._life is None or self._life.tend()) and self._cuts.position > self._known:
            with self._writer.transaction() as transaction:
                transaction.commit({(self._topics.cuts, 0): self._cuts.position})
            self._known = self._cuts.position
        return changed

    @property
    def running(self) -> str | None:
        """The id of the job, while it runs."""
        return None if self._life is None else self._life.id

    def close(self) -> None:
        """Stops the job with a savepoint."""
        if self._life is not None:
            self._life.stop()
        self._writer.close()
        self._mirror.close()
        self._gateway.close()

    def _ready(self) -> bool:
        there = {topic.name for topic in self._log.topics()}
        raw = {stream.topic for stream in self._declaration.streams.values()}
        if not raw <= there:
            return False
        loaded = dict(self._log.committed(TABLES).positions)
        held = dict(self._mirror.position())
        for topic in self._mirror.topics:
            if (
                not Lookups.topics_loaded(loaded, [topic])
                or held.get((topic, 0), 0) < self._log.bounds(topic)[0][1]
            ):
                return False
        return True

    def _begun(self) -> Life | None:
        """Makes the topics (as many partitions as the raw ones have), registers the schemas, describes the job.

        None while transactions of an older one may still be open.
        """
        for stream in self._declaration.streams.values():
            partitions = self._log.topic(stream.topic).partitions
            for topic in (self._topics.enriched(stream.title), self._topics.dead(stream.title)):
                self._log.create(Topic(topic, ROLE, partitions))
        known = readers(self._declaration, self._schemas)
        job = enrich_job(self._declaration, self._cluster, known, self._cuts.known)
        life = Life(self._gateway, self._cluster, job)
        age = self._age(life)
        if age <= self._cluster.outage:
            return life
        if age <= self._cluster.outage + ABORTED:
            return None
        _SAY.warning("its state is %d s old: it goes on from what stands on the topics", age // SECOND)
        self._go_on_from_outcome()
        return Life(self._gateway, self._cluster, job, since=self._now())

    def _age(self, life: Life) -> int:
        """How old (ms) the newest state of a job is that does not run."""
        state = None if life.id is not None or life.found() else life.states.newest()
        return 0 if state is None else self._now() - state.at

    def _go_on_from_outcome(self) -> None:
        """Makes the offsets at which a job without state begins those of the records of which nothing came."""
        ends: dict[Partition, int] = {}
        for stream in self._declaration.streams.values():
            ends |= Outcome(self._declaration, stream, self._log, self._schemas).ends()
        with self._writer.transaction() as transaction:
            transaction.commit(ends)
