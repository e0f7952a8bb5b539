"""The tile role on Flink: one job for each epoch, that is for the views that began together.

A new window is a new job, which leaves the others alone; what lies before it comes from the archive, as on every
engine. A job whose state is lost, or older than the declared maximum outage, is not gone on with: its views begin
a new epoch where the enriched topics end now, the archive tiles all that lies before, and when that is written the
old epoch is struck off the list. So the views never show a tile that misses something, nor one that counts twice.
"""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from headrace.declare.declaration import Declaration, View
from headrace.declare.duration import SECOND
from headrace.declare.topics import Topics
from headrace.log.batches import Partition, Positions
from headrace.log.contract import Log, Topic
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.epochs import Epoch
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.gateway import Gateway
from headrace.stream.flink.life import Life
from headrace.stream.flink.tiling import ROLE, tile_job
from headrace.stream.layouts import TILES
from headrace.stream.tiler import History, listing, striking, tiles_of

_BLOCK: Final = 50_000
_JOBS: Final = "flink/jobs"
_SAY: Final = logging.getLogger("headrace.flink")


@dataclass(frozen=True, slots=True)
class EpochJob:
    """The job of an epoch. views: their ids. begun: whether it has left a state that it can go on from."""

    epoch: Epoch
    views: tuple[str, ...]
    begun: bool = False


class FlinkTiler:
    """Keeps the tiles of every declared view. history: as for `stream.tiler.Tiler`. now: the wall clock, ms."""

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        history: History,
        cluster: Cluster,
        *,
        partitions: int = 1,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._declaration, self._log, self._history, self._cluster, self._now = (
            declaration,
            log,
            history,
            cluster,
            now,
        )
        self._topics = Topics.of(declaration)
        self._gateway = Gateway(cluster.gateway, cluster.rest)
        tiles = self._topics.tiles
        self._schema_id = schemas.register(f"{tiles}-value", nullable_schema(tiles, TILES)).id
        log.create(Topic(tiles, ROLE, partitions))
        self._writer = log.writer(ROLE)
        self._lives: dict[str, Life] = {}
        self._jobs: dict[str, EpochJob] = {}
        self._arranged = False
        self._published = 0
        self._reached: dict[Partition, int] = {}

    def step(self) -> int:
        """Looks after the jobs, and writes history that has come; how many tiles of it."""
        if not self._arranged:
            if not self._ready():
                return 0
            self._arrange()
        for name in list(self._jobs):
            self._tend(name)
        self._publish()
        return self._add_history()

    def running(self) -> dict[str, str | None]:
        """The id of each epoch's job, by the epoch's name, None where it does not run."""
        return {name: life.id for name, life in self._lives.items()}

    def close(self) -> None:
        """Stops the jobs with savepoints."""
        for life in self._lives.values():
            life.stop()
        self._writer.close()
        self._gateway.close()

    def _ready(self) -> bool:
        there = {topic.name for topic in self._log.topics()}
        return all(self._topics.enriched(view.stream) in there for view in self._declaration.views.values())

    def _arrange(self) -> None:
        """Takes up the jobs that are kept, ends those without a declared view, begins one for new views."""
        kept = self._writer.kept(_JOBS)
        for job in [] if kept is None else _load(kept):
            if any(view in self._declaration.views for view in job.views):
                self._jobs[job.epoch.name] = job
            else:
                self._life(job).stop()
        known = {view for job in self._jobs.values() for view in job.views}
        new = [view for view in self._declaration.views if view not in known]
        if new:
            self._begin(new, {} if kept is None else self._ends(new), ())
        self._arranged = True

    def _ends(self, views: Sequence[str]) -> Positions:
        streams = {self._declaration.views[view].stream for view in views}
        topics = [self._topics.enriched(stream) for stream in streams]
        return {(topic, p): end for topic in topics for p, (_, end) in enumerate(self._log.bounds(topic))}

    def _begin(self, views: Sequence[str], vector: Positions, before: tuple[str, ...]) -> None:
        """An epoch for views, at a vector; it follows epochs, which count until its history is there."""
        epoch = replace(Epoch.at(vector), before=before)
        job = EpochJob(epoch, tuple(sorted(views)))
        same = self._jobs.get(epoch.name)
        if same is not None:
            job = replace(same, views=tuple(sorted({*same.views, *views})))
        self._jobs[epoch.name] = job
        if not epoch.vector and not before:
            self._list(job)
        self._keep()

    def _list(self, job: EpochJob) -> None:
        """Makes an epoch known that has nothing before it."""
        with self._writer.transaction() as transaction:
            for view in self._views(job):
                rows = listing(view, [job.epoch.name])
                transaction.append(self._topics.tiles, 0, encode_block(rows, self._schema_id, 0))
        self._jobs[job.epoch.name] = replace(job, epoch=job.epoch.made_known())

    def _publish(self) -> None:
        """Commits how far all jobs have come, by what they committed at their checkpoints: for lag only."""
        now = self._now()
        if now < self._published + SECOND:
            return
        self._published = now
        reached: dict[Partition, list[int]] = defaultdict(list)
        for name in self._jobs:
            for place, offset in self._log.committed(f"{ROLE}.{name}").positions.items():
                reached[place].append(offset)
        positions = {place: min(offsets) for place, offsets in reached.items()}
        if positions != self._reached:
            with self._writer.transaction() as transaction:
                transaction.commit(positions)
            self._reached = positions

    def _tend(self, name: str) -> None:
        job, life = self._jobs[name], self._life(self._jobs[name])
        if job.begun and not life.found() and self._lost(job, life):
            return
        running = life.tend()
        if life.refused is not None:
            self._renew(job, life, f"its state cannot be restored: {life.refused}")
        elif running and not job.begun and life.states.newest() is not None:
            self._jobs[name] = replace(job, begun=True)
            self._keep()

    def _lost(self, job: EpochJob, life: Life) -> bool:
        """Whether the state of a job that does not run is gone or too old; then its views begin anew."""
        state = life.states.newest()
        if state is not None and self._now() - state.at <= self._cluster.outage:
            return False
        cause = "its state is gone" if state is None else f"its state is {(self._now() - state.at) // 1000} s old"
        self._renew(job, life, cause)
        return True

    def _renew(self, job: EpochJob, life: Life, cause: str) -> None:
        epoch = job.epoch
        _SAY.warning("epoch %s: %s; its views begin a new epoch from the archive", epoch.name, cause)
        life.stop()
        del self._jobs[epoch.name], self._lives[epoch.name]
        before = (*epoch.before, epoch.name, epoch.history)
        self._begin([view.id for view in self._views(job)], self._ends(job.views), before)

    def _add_history(self) -> int:
        """Writes what lies before an epoch once the archive has it, lists both, strikes off what they follow."""
        count = 0
        for name, job in list(self._jobs.items()):
            if job.epoch.listed:
                continue
            views = self._views(job)
            found = [(view, self._history(view, job.epoch.vector)) for view in views]
            pasts = [(view, past) for view, past in found if past is not None]
            if len(pasts) < len(views):
                continue
            with self._writer.transaction() as transaction:
                for view, past in pasts:
                    for rows in self._blocks(view, job.epoch, past):
                        transaction.append(self._topics.tiles, 0, encode_block(rows, self._schema_id, 0))
                    count += past.num_rows
                for view in views:
                    lists = listing(view, [job.epoch.history, name])
                    if job.epoch.before:
                        lists = pa.concat_tables([lists, striking(view, job.epoch.before)])
                    transaction.append(self._topics.tiles, 0, encode_block(lists, self._schema_id, 0))
            self._jobs[name] = replace(job, epoch=replace(job.epoch.made_known(), before=()))
            self._keep()
        return count

    def _blocks(self, view: View, epoch: Epoch, past: pa.Table) -> list[pa.Table]:
        return [
            tiles_of(view, epoch.history, past.slice(begin, _BLOCK)) for begin in range(0, past.num_rows, _BLOCK)
        ]

    def _views(self, job: EpochJob) -> list[View]:
        """The declared views of a job; it goes on computing the others."""
        return [self._declaration.views[view] for view in job.views if view in self._declaration.views]

    def _life(self, job: EpochJob) -> Life:
        name = job.epoch.name
        if name not in self._lives:
            text = tile_job(
                self._declaration, self._cluster, name, job.epoch.vector, self._views(job), self._schema_id
            )
            self._lives[name] = Life(self._gateway, self._cluster, text)
        return self._lives[name]

    def _keep(self) -> None:
        with self._writer.transaction() as transaction:
            transaction.keep(_JOBS, _dump(list(self._jobs.values())))


def _dump(jobs: Sequence[EpochJob]) -> bytes:
    found = [{"epoch": job.epoch.dump().decode(), "views": job.views, "begun": job.begun} for job in jobs]
    return json.dumps(found).encode()


def _load(text: bytes) -> list[EpochJob]:
    found = json.loads(text)
    return [EpochJob(Epoch.load(job["epoch"].encode()), tuple(job["views"]), job["begun"]) for job in found]
