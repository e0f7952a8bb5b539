"""The tiles of backfill epochs onto the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds

from headrace.archive.history import HISTORY, epoch_tiles
from headrace.archive.manifest import BackfillEpoch
from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType, Kind
from headrace.log.contract import Log, Topic, Writer
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.contract import Schemas

ROLE: Final = "backfill"
_BLOCK: Final = 32_768
_KINDS: Final[dict[pa.DataType, Kind]] = {pa.string(): "str", pa.int64(): "int", pa.float64(): "float"}
TILES: Final = {
    "view": ColumnType("str", nullable=True),
    **{field.name: ColumnType(_KINDS[field.type], nullable=True) for field in HISTORY},
}
"""The columns of the topic of history tiles."""


def publish(
    declaration: Declaration,
    stream: str,
    rows: ds.Dataset,
    by_epoch: Mapping[BackfillEpoch, Sequence[str]],
    log: Log,
    registry: Schemas,
    writer: Writer,
    arrival: int,
) -> int:
    """Appends the tiles of epochs for each view of a stream, and lists them, in one transaction; how many tiles.

    rows: the archived records. by_epoch: the files of each epoch. What was listed before is left out.
    """
    topic = Topics.of(declaration).history
    log.create(Topic(topic, ROLE, 1))
    schema_id = registry.register(f"{topic}-value", nullable_schema(topic, TILES)).id
    count = 0
    with writer.transaction() as transaction:
        for view, epoch in _unlisted(declaration, stream, by_epoch, writer):
            found = epoch_tiles(view, rows, epoch, by_epoch[epoch])
            count += len(found) - 1
            named = found.add_column(0, "view", pa.array([view.id] * len(found), pa.string())).select(list(TILES))
            for begin in range(0, len(named), _BLOCK):
                transaction.append(topic, 0, encode_block(named.slice(begin, _BLOCK), schema_id, arrival))
            transaction.keep(_kept(view, epoch), b"1")
    return count


def _unlisted(
    declaration: Declaration, stream: str, by_epoch: Mapping[BackfillEpoch, Sequence[str]], writer: Writer
) -> Iterator[tuple[View, BackfillEpoch]]:
    for view in declaration.views.values():
        for epoch in sorted(by_epoch):
            if view.stream == stream and writer.kept(_kept(view, epoch)) is None:
                yield view, epoch


def _kept(view: View, epoch: BackfillEpoch) -> str:
    return f"listed/{view.id}/{epoch.name}"
