"""Both engines over one declaration, each on its own log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from tests.parity.inputs import NEW, OLD, PARTITIONS, REGIONS, SUPPLIERS, Raw

from headrace.compile.load import load
from headrace.compile.tiles import TILE
from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.log.batches import Framed, Positions, Record
from headrace.log.contract import Log, Topic
from headrace.log.kafka import KafkaLog
from headrace.log.sqlite import SqliteLog
from headrace.schema.contract import Schemas
from headrace.schema.folder import FolderSchemas
from headrace.schema.registry import RegistrySchemas
from headrace.schema.splitting import Splitter
from headrace.stack import Stack
from headrace.stream.enricher import Enricher
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.enricher import FlinkEnricher
from headrace.stream.flink.tiler import FlinkTiler
from headrace.stream.tables import Tables
from headrace.stream.tiler import Tiler

PRODUCERS = "producers"
HARD = Path(__file__).parent / "hard.py"


def hard_project(root: Path, text: str = HARD.read_text()) -> Declaration:
    """The hard project with its tables in `root`, under a name of its own: many share a cluster."""
    (root / "suppliers.csv").write_text(SUPPLIERS)
    (root / "regions.csv").write_text(REGIONS)
    (root / "hard.py").write_text(text)
    declaration = load(root / "hard.py")
    name = f"hard{uuid4().hex[:8]}"
    streams = {title: replace(stream, topic=f"{name}.sales") for title, stream in declaration.streams.items()}
    return replace(declaration, name=name, streams=streams)


@dataclass
class Engine:
    """A log, its schemas, and the steps of the two roles."""

    declaration: Declaration
    log: Log
    schemas: Schemas
    enrich: Any
    tile: Any
    ids: dict[int, int] = field(default_factory=dict)
    history: Any = None
    _counted: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def prepare(self) -> None:
        """The raw topic with both versions of its schema, and the tables."""
        topic = self.declaration.streams["sale"].topic
        self.log.create(Topic(topic, PRODUCERS, PARTITIONS))
        subject = f"{topic}-value"
        self.ids = {1: self.schemas.register(subject, OLD).id, 2: self.schemas.register(subject, NEW).id}
        self.refresh_tables(1)

    def refresh_tables(self, now: int) -> None:
        tables = Tables(self.declaration, self.log, self.schemas, lambda: now)
        tables.step()
        assert not tables.failures, tables.failures
        tables.close()

    def produce(self, records: Sequence[Raw]) -> None:
        topic = self.declaration.streams["sale"].topic
        with self.log.turn(PRODUCERS) as writer, writer.transaction() as transaction:
            for partition in range(PARTITIONS):
                mine = [
                    Record(raw.key, raw.value(self.ids), raw.headers, raw.arrival)
                    for raw in records
                    if raw.partition == partition
                ]
                if mine:
                    transaction.append(topic, partition, Framed.of(mine, 0))

    def until(self, done: Callable[[], bool], seconds: float = 180.0) -> None:
        """Steps both roles until something holds."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"not within {seconds:.0f} s"
            if self.enrich.step() + self.tile.step() == 0:
                time.sleep(0.1)

    def count(self, topic: str) -> int:
        """Records on a topic, 0 where there is none. What was counted once is not read again."""
        if topic not in {each.name for each in self.log.topics()}:
            return 0
        total = 0
        for partition, (first, _) in enumerate(self.log.bounds(topic)):
            offset, count = self._counted.get((topic, partition), (first, 0))
            while batches := self.log.read(topic, partition, offset, 50_000):
                count += sum(batch.count for batch in batches)
                offset = batches[-1].end
            self._counted[topic, partition] = offset, count
            total += count
        return total

    def judged(self) -> int:
        """Enriched records and dead letters."""
        topics = Topics.of(self.declaration)
        return self.count(topics.enriched("sale")) + self.count(topics.dead("sale"))


def no_history(view: View, below: Positions) -> pa.Table | None:
    return TILE.empty_table()


@contextmanager
def embedded(declaration: Declaration, root: Path) -> Iterator[Engine]:
    log, schemas = SqliteLog(root / "log"), FolderSchemas(root / "schemas")
    enricher = Enricher(declaration, log, schemas)
    engine = Engine(declaration, log, schemas, enricher, Tiler(declaration, log, schemas, no_history))
    engine.prepare()
    yield engine
    engine.enrich.close()
    engine.tile.close()
    log.close()


def cluster_of(stack: Stack, declaration: Declaration, **more: Any) -> Cluster:
    """The surroundings of Flink's jobs on a stack."""
    stack.start("kafka", "registry", "flink", "postgres")
    return Cluster(
        stack.address("gateway"),
        stack.address("flink"),
        {"bootstrap.servers": stack.address("kafka")},
        stack.address("registry"),
        stack.address("postgres"),
        (stack.home / "data" / "flink" / "checkpoints").as_uri(),
        namespace=declaration.name,
        **{"parallelism": 2, **more},
    )


@contextmanager
def on_flink(declaration: Declaration, stack: Stack, **more: Any) -> Iterator[Engine]:
    cluster = cluster_of(stack, declaration, **more)
    schemas = RegistrySchemas(cluster.registry)
    log = KafkaLog(stack.address("kafka"), Splitter(schemas), namespace=declaration.name)
    engine = Engine(declaration, log, schemas, None, None, history=no_history)
    engine.prepare()
    engine.enrich = FlinkEnricher(declaration, log, schemas, cluster)
    engine.tile = FlinkTiler(declaration, log, schemas, no_history, cluster, partitions=PARTITIONS)
    try:
        yield engine
    finally:
        engine.enrich.close()
        engine.tile.close()
        log.close()
