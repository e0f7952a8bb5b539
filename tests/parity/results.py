"""What an engine made of an input, as rows that can be compared with another's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.features.partials import Partial, merge
from headrace.log.batches import Batch, Framed
from headrace.log.contract import Log
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.layouts import TILES, enriched_columns

Rows = list[dict[str, Any]]


def batches(log: Log, topic: str) -> list[Batch]:
    """All that stands on a topic, partition by partition."""
    found: list[Batch] = []
    for partition, (offset, _) in enumerate(log.bounds(topic)):
        while read := log.read(topic, partition, offset, 50_000):
            found += read
            offset = read[-1].end
    return found


def records(log: Log, schemas: Schemas, topic: str, columns: Mapping[str, ColumnType]) -> Rows:
    """A topic's records as they were written, times as they are; all must decode."""
    found = decode(batches(log, topic), schemas, nullable_schema(topic, columns), columns)
    assert found.undecodable.num_rows == 0, found.undecodable.slice(0, 3).to_pylist()
    rows: Rows = found.table.to_pylist()
    return rows


def enriched(log: Log, schemas: Schemas, declaration: Declaration, stream: str) -> Rows:
    """Enriched records in the order of their ids."""
    topic = Topics.of(declaration).enriched(stream)
    columns = enriched_columns(declaration.streams[stream])
    rows = [{name: row[name] for name in columns} for row in records(log, schemas, topic, columns)]
    return sorted(rows, key=lambda row: (row["_partition"], row["_offset"], row["_arrival"]))


def dead(log: Log, declaration: Declaration, stream: str) -> Rows:
    """Dead letters in the order of their ids: partition, key, value without the schema's id, arrival, headers."""
    rows: Rows = []
    for batch in batches(log, Topics.of(declaration).dead(stream)):
        assert isinstance(batch.content, Framed)
        for record in batch.content.records.to_pylist():
            headers = {name: value.decode() for name, value in record["headers"]}
            value = record["value"]
            framed = value is not None and len(value) > 5 and value[0] == 0
            rows.append(
                {"partition": batch.partition, "key": record["key"], "arrival": record["arrival"], **headers}
                | {"value": value[5:] if framed else value}
            )
    return sorted(
        rows, key=lambda row: (row["headrace-id"], row["arrival"], row["headrace-reason"], str(row["value"]))
    )


def tiles(
    log: Log, schemas: Schemas, declaration: Declaration, history: bool = False
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The newest tile of each view, key and hop, those of several epochs each by itself."""
    topics = Topics.of(declaration)
    topic = topics.history if history else topics.tiles
    found = {}
    for row in records(log, schemas, topic, TILES):
        if row["key"] is not None:
            found[row["view"], row["key"], row["hop"], row["epoch"]] = {name: row[name] for name in TILES}
    return found


def merged(
    log: Log,
    schemas: Schemas,
    declaration: Declaration,
    history: bool = False,
    only: Mapping[str, set[str]] | None = None,
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """For each view, key and hop what a reader makes of the tiles of all epochs. only: those listed, by view."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for (*place, epoch), tile in tiles(log, schemas, declaration, history).items():
        if only is not None and epoch.partition("~")[0] not in only.get(place[0], set()):
            continue
        found.setdefault(tuple(place), []).append(tile)
    return {place: combined(declaration.views[place[0]], parts) for place, parts in found.items()}


def combined(view: View, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader makes of the tiles of one view, key and hop."""
    partial = merge(view.family, [_partial(part) for part in parts])
    slots = {name: getattr(partial, name) for name in Partial.__dataclass_fields__}
    return {"newest": max(part["newest"] for part in parts), **slots}


def _partial(tile: dict[str, Any]) -> Partial:
    def slot(side: str) -> Any:
        given = [tile[f"{side}_{kind}"] for kind in ("int", "float", "text")]
        return next((value for value in given if value is not None), None)

    return Partial(tile["n"], slot("a"), slot("b"), tile["a_at"], tile["a_id"], tile["b_at"], tile["b_id"])


def places(log: Log, declaration: Declaration, which: str) -> list[tuple[int, int]]:
    """How many records of a kind (enriched or dead) each partition holds."""
    topic = getattr(Topics.of(declaration), which)("sale")
    counts: dict[int, int] = {}
    for batch in batches(log, topic):
        counts[batch.partition] = counts.get(batch.partition, 0) + batch.count
    return sorted(counts.items())


Dense = Mapping[tuple[int, int], int]
"""For the partition and offset of each record of a topic its place among the records of its partition."""


def dense(log: Log, topic: str) -> Dense:
    """On Kafka the end of a transaction takes an offset too."""
    found: dict[tuple[int, int], int] = {}
    counts: dict[int, int] = {}
    for batch in batches(log, topic):
        for row in range(batch.count):
            place = counts.get(batch.partition, 0)
            found[batch.partition, batch.offset + row] = place
            counts[batch.partition] = place + 1
    return found


def placed(row: Mapping[str, Any], places: Dense) -> dict[str, Any]:
    """A row with its ids by place instead of by offset."""
    found = dict(row)
    if "_offset" in found:
        found["_offset"] = places[found["_partition"], found["_offset"]]
    for name in ("headrace-id", "a_id", "b_id"):
        if found.get(name) is not None:
            head, partition, offset = found[name].rsplit("/", 2)
            found[name] = f"{head}/{int(partition)}/{places[int(partition), int(offset)]}"
    return found


def same(left: Any, right: Any, tolerance: float = 0.0) -> bool:
    """Equal in type and value; NaN is NaN, and floats within a relative tolerance."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or math.isclose(left, right, rel_tol=tolerance, abs_tol=0.0)
    return bool(left == right)


def differences(left: Mapping[str, Any], right: Mapping[str, Any], tolerance: float = 0.0) -> dict[str, Any]:
    """The columns in which two rows differ."""
    return {
        name: (left.get(name), right.get(name))
        for name in {**left, **right}
        if not same(left.get(name), right.get(name), tolerance)
    }
