"""The tiles of backfill epochs onto the log: each (view, epoch) once, and all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from headrace.archive.columns import schemas
from headrace.archive.delta import Archive
from headrace.archive.history import backfilled, epoch_tiles
from headrace.archive.manifest import CUT, BackfillEpoch
from headrace.declare.declaration import Declaration
from headrace.declare.topics import Topics
from headrace.log.contract import Log, Topic
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.cuts import ROLE
from headrace.stream.layouts import TILES
from headrace.stream.tiler import listing, tiles_of

_BLOCK: Final = 32_768


def publish(declaration: Declaration, archive: Archive, log: Log, registry: Schemas) -> int:
    """Appends the tiles of all complete backfill epochs to the topic of history, and lists them; how many tiles.

    What is listed already is left out; the rest is one transaction, so that a reader sees all of it or none. The
    tile role calls it before it begins, so that a view that was not there yet when history was brought has it.
    """
    archive = archive.knowing(schemas(declaration))
    topics = Topics.of(declaration)
    found = {title: _backfilled(archive, topics.enriched(title)) for title in declaration.streams}
    if not any(found.values()):
        return 0
    log.create(Topic(topics.history, ROLE, 1))
    schema_id = registry.register(f"{topics.history}-value", nullable_schema(topics.history, TILES)).id
    count = 0
    writer = log.writer(ROLE)
    try:
        with writer.transaction() as transaction:
            lists = []
            for view in declaration.views.values():
                topic = topics.enriched(view.stream)
                for epoch, files in sorted(found[view.stream].items()):
                    kept = f"listed/{view.id}/{epoch.name}"
                    if writer.kept(kept) is not None:
                        continue
                    tiles = tiles_of(view, epoch.name, epoch_tiles(view, archive.dataset(topic), files))
                    arrival = archive.note(topic, CUT) or 0
                    for begin in range(0, len(tiles), _BLOCK):
                        block = encode_block(tiles.slice(begin, _BLOCK), schema_id, arrival)
                        transaction.append(topics.history, 0, block)
                    lists.append(encode_block(listing(view, [epoch.name]), schema_id, arrival))
                    transaction.keep(kept, b"1")
                    count += len(tiles)
            for block in lists:
                transaction.append(topics.history, 0, block)
    finally:
        writer.close()
    return count


def _backfilled(archive: Archive, topic: str) -> Mapping[BackfillEpoch, Sequence[str]]:
    version = archive.version(topic)
    return {} if version is None else backfilled(archive, topic, archive.dataset(topic, version), version)
