"""The job that keeps the tiles of the views of one epoch, from committed enriched records.

Its tiles are absolute, so it may send one twice: it needs no transaction, and a tile is seen within a fraction of a
second. Its state lives as long as a record in time, or one that an outage delays, may still come for a hop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from headrace.compile.flink import TYPES
from headrace.compile.flink_tiles import tiles
from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.log.batches import Positions
from headrace.schema.avro import nullable_schema
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import Insert, Job, table
from headrace.stream.flink.functions import FUNCTIONS
from headrace.stream.layouts import TILES, enriched_columns

ROLE: Final = "tile"
_CHECKPOINTS: Final = 10
"""A tile waits for no checkpoint, so that these may be so many times rarer than those of enriched records."""


def tile_job(
    declaration: Declaration, cluster: Cluster, epoch: str, vector: Positions, views: Sequence[View], schema_id: int
) -> Job:
    """The job of an epoch: the views that began together at a vector of enriched positions (empty: at the start).

    schema_id: of the schema of tiles.
    """
    topics = Topics.of(declaration)
    statements = [*FUNCTIONS]
    titles = sorted({view.stream for view in views})
    statements += [_source(declaration, topics, cluster, title, epoch, vector) for title in titles]
    statements.append(_sink(topics, cluster, schema_id))
    inserts = []
    for view in views:
        stream = declaration.streams[view.stream]
        query = tiles(
            view, enriched_columns(stream), f"enriched_{view.stream}", epoch, stream.lateness, cluster.outage
        )
        inserts.append(Insert(f"view {view.id}", f"INSERT INTO `tiles`\n{query}"))
    settings = {
        "pipeline.name": f"headrace {declaration.name} tile {epoch}",
        "execution.checkpointing.mode": "AT_LEAST_ONCE",
        "execution.checkpointing.interval": f"{_CHECKPOINTS * cluster.checkpoint} ms",
        "table.exec.state.ttl": f"{lifetime(declaration, cluster, views)} ms",
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": "100 ms",
        "table.exec.mini-batch.size": "5000",
        "table.optimizer.agg-phase-strategy": "ONE_PHASE",
    }
    return Job(settings["pipeline.name"], tuple(statements), tuple(inserts), settings)


def lifetime(declaration: Declaration, cluster: Cluster, views: Sequence[View]) -> int:
    """How long (ms) the state of a hop lives after its last record: the longest that one may be away."""
    streams = declaration.streams
    return (
        max(view.hop + streams[view.stream].lateness + streams[view.stream].skew for view in views) + cluster.outage
    )


def _source(
    declaration: Declaration, topics: Topics, cluster: Cluster, title: str, epoch: str, vector: Positions
) -> str:
    topic = topics.enriched(title)
    columns = enriched_columns(declaration.streams[title])
    places = {partition: offset for (where, partition), offset in vector.items() if where == topic}
    begin = {"scan.startup.mode": "earliest-offset"}
    if places:
        begin = {
            "scan.startup.mode": "specific-offsets",
            "scan.startup.specific-offsets": ";".join(
                f"partition:{p},offset:{o}" for p, o in sorted(places.items())
            ),
        }
    options = {
        "connector": "kafka",
        "topic": topic,
        **cluster.properties,
        "properties.group.id": cluster.named(f"{ROLE}.{epoch}"),
        "properties.isolation.level": "read_committed",
        **begin,
        "value.format": "headrace-avro",
        "value.headrace-avro.url": cluster.registry,
        "value.headrace-avro.schema": json.dumps(nullable_schema(topic, columns)),
    }
    return table(f"enriched_{title}", {column: TYPES[kind.kind] for column, kind in columns.items()}, options)


def _sink(topics: Topics, cluster: Cluster, schema_id: int) -> str:
    options = {
        "connector": "kafka",
        "topic": topics.tiles,
        **cluster.properties,
        "sink.delivery-guarantee": "at-least-once",
        "key.format": "raw",
        "key.fields": "id",
        "value.format": "headrace-avro",
        "value.fields-include": "EXCEPT_KEY",
        "value.headrace-avro.url": cluster.registry,
        "value.headrace-avro.schema": json.dumps(nullable_schema(topics.tiles, TILES)),
        "value.headrace-avro.schema-id": str(schema_id),
    }
    columns = {"id": "STRING", **{column: TYPES[kind.kind] for column, kind in TILES.items()}}
    return table("tiles", columns, options)
