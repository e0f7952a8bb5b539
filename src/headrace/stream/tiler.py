"""The tile role: enriched topics to the tiles topic, each step one transaction.

The tiles topic is also the memory of the role: what is open is read back from it at a start.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from headrace.compile.tiles import TILE
from headrace.declare.declaration import Declaration, View
from headrace.declare.duration import DAY
from headrace.declare.topics import Topics
from headrace.log.batches import Batch, Mark, Partition, Positions
from headrace.log.contract import Log, Topic
from headrace.schema.avro import decode, encode_block, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.epochs import Epoch
from headrace.stream.intake import Intake
from headrace.stream.layouts import TILES, enriched_columns
from headrace.stream.open_tiles import OpenTiles

ROLE: Final = "tile"
OUTAGE: Final = DAY
"""The declared maximum outage, ms: how much longer than lateness and skew a hop's tiles stay open in memory."""
_BLOCK: Final = 50_000
History = Callable[[View, Positions], pa.Table | None]
Timed = Callable[[str], AbstractContextManager[None]]


def tiles_of(view: View, epoch: str, tiles: pa.Table) -> pa.Table:
    """Rows of a topic of tiles. tiles: columns `TILE`."""
    names = {"view": view.id, "epoch": epoch}
    columns = [
        pa.repeat(names[name], tiles.num_rows) if name in names else tiles.column(name).cast(kind.arrow)
        for name, kind in TILES.items()
    ]
    return pa.table(columns, names=list(TILES))


def listing(view: View, epochs: Sequence[str]) -> pa.Table:
    """Rows that list epochs of a view: readers merge the listed ones only."""
    none = pa.table({field.name: pa.nulls(1, field.type) for field in TILE})
    return pa.concat_tables([tiles_of(view, epoch, none) for epoch in epochs])


def striking(view: View, epochs: Sequence[str]) -> pa.Table:
    """Rows that strike epochs of a view off the list: readers no longer merge them."""
    rows = listing(view, epochs)
    return rows.set_column(rows.column_names.index("n"), "n", pa.repeat(pa.scalar(0, pa.int64()), rows.num_rows))


class Tiler:
    """Keeps the tiles of every declared view.

    history: the tiles (columns `compile.tiles.TILE`) of a view's events before a vector of positions, from the
    archive; None while it is not there yet. limit: of records in one micro-batch, as in `Enricher`.
    """

    def __init__(
        self,
        declaration: Declaration,
        log: Log,
        schemas: Schemas,
        history: History,
        *,
        limit: int = 65_536,
        timed: Timed = lambda part: nullcontext(),
    ) -> None:
        self._log, self._schemas, self._history, self._limit, self._timed = log, schemas, history, limit, timed
        topics = Topics.of(declaration)
        self._tiles = topics.tiles
        self._streams = {topics.enriched(title): stream for title, stream in declaration.streams.items()}
        self._views = {
            topic: [view for view in declaration.views.values() if view.stream == stream.title]
            for topic, stream in self._streams.items()
        }
        self._schema = nullable_schema(self._tiles, TILES)
        self._schema_id = schemas.register(f"{self._tiles}-value", self._schema).id
        log.create(Topic(self._tiles, ROLE, 1))
        self._writer = log.writer(ROLE)
        self._note_absent(list(declaration.views))
        self._begin()

    def _begin(self) -> None:
        committed = self._log.committed(ROLE)
        viewed = [topic for topic in self._streams if self._views[topic]]
        self._intake = Intake(self._log, viewed or list(self._streams), committed.positions)  # without views: marks
        self._epochs: dict[str, Epoch] = {}
        self._open: dict[str, OpenTiles] = {}
        self._seen: dict[Partition, int] = {}
        self._tables: dict[str, str] = {}
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")

    def step(self) -> int:
        """Takes one micro-batch, or passes one mark; how many records (a mark in one partition counts as one)."""
        try:
            new = self._intake.join()
            if new:
                self._start(new)
            self._add_history()
            since = dict(self._intake.positions)
            batches = self._intake.take(self._limit)
            if batches:
                return self._process(batches, since)
            mark = self._intake.standing()
            return 0 if mark is None else self._pass(mark)
        except BaseException:
            self._begin()  # what is committed counts
            raise

    def close(self) -> None:
        """Gives back the right to write."""
        self._writer.close()
        self._connection.close()

    def _start(self, topics: Sequence[str]) -> None:
        """Takes up the epoch of each view of these topics, or begins one at the role's positions."""
        for topic in topics:
            self._tables[topic] = f"_records_{len(self._tables)}"
            columns = enriched_columns(self._streams[topic])
            none = pa.schema([pa.field(name, kind.arrow) for name, kind in columns.items()]).empty_table()
            self._connection.register("_none", none)
            self._connection.execute(f"CREATE TABLE {self._tables[topic]} AS FROM _none")
        views = [view for topic in topics for view in self._views[topic]]
        begun = []
        for view in views:
            kept = self._writer.kept(f"epoch/{view.id}")
            if kept is None:
                positions = {p: o for p, o in self._intake.positions.items() if p[0] == self._topic(view)}
                self._epochs[view.id] = Epoch.at(positions)
                begun.append(view)
            else:
                self._epochs[view.id] = Epoch.load(kept)
            tiles = OpenTiles(self._connection, view, len(self._open), self._tables[self._topic(view)])
            tiles.since = int(self._writer.kept(f"since/{view.id}") or 0)
            self._open[view.id] = tiles
        with self._writer.transaction() as transaction:
            transaction.commit(self._intake.positions)
            for view in begun:
                epoch = self._epochs[view.id]
                if not epoch.vector:
                    epoch = self._epochs[view.id] = epoch.made_known()
                    block = encode_block(listing(view, [epoch.name]), self._schema_id, 0)
                    transaction.append(self._tiles, 0, block)
                transaction.keep(f"epoch/{view.id}", epoch.dump())
        found: dict[str, list[pa.Table]] = defaultdict(list)
        for table in self._written():
            for view in views:
                found[view.id].append(self._of(view, table, pc.field("hop") >= self._open[view.id].since))
        for view in views:
            self._open[view.id].load(found[view.id])
            self._catch_up(self._open[view.id])

    def _note_absent(self, declared: Sequence[str]) -> None:
        """Keeps where the views that are no longer declared stopped, in case that one comes back."""
        known = json.loads(self._writer.kept("views") or b"[]")
        positions = json.dumps([[*place, end] for place, end in self._log.committed(ROLE).positions.items()])
        with self._writer.transaction() as transaction:
            for view_id in known:
                if view_id not in declared and self._writer.kept(f"absent/{view_id}") is None:
                    transaction.keep(f"absent/{view_id}", positions.encode())
            transaction.keep("views", json.dumps(sorted(declared)).encode())

    def _catch_up(self, tiles: OpenTiles) -> None:
        """Gives a view that was absent for a while the records that it missed."""
        name, topic = f"absent/{tiles.view.id}", self._topic(tiles.view)
        kept = self._writer.kept(name)
        if kept is None:
            return
        places = {(where, number): end for where, number, end in json.loads(kept) if where == topic}
        missed = Intake(self._log, [topic], places)
        missed.join()
        while any(missed.positions[place] < self._intake.positions[place] for place in missed.positions):
            since = dict(missed.positions)
            batches = missed.take(self._limit)
            batches = [b for b in batches if b.offset < self._intake.positions[b.topic, b.partition]]
            mark = missed.standing()
            if not batches and mark is not None:
                missed.pass_mark(mark)
            with self._writer.transaction() as transaction:
                if batches:
                    self._load(topic, self._records(topic, batches, since))
                    merged = self._merge(tiles)
                    rows = tiles_of(tiles.view, self._epochs[tiles.view.id].name, merged)
                    transaction.append(self._tiles, 0, encode_block(rows, self._schema_id, _newest(rows)))
                    tiles.accept(merged, tiles.since)
                left = [
                    [*place, min(end, self._intake.positions[place])] for place, end in missed.positions.items()
                ]
                transaction.keep(name, json.dumps(left).encode())
        with self._writer.transaction() as transaction:
            transaction.keep(name, None)

    def _merge(self, tiles: OpenTiles) -> pa.Table:
        """The tiles of the micro-batch, merged with what was written before."""
        with self._timed("merge"):
            merged = tiles.merge()
        wanted = tiles.wanted(merged)
        if wanted is not None:
            tiles.recall(self._recalled(tiles, wanted))
            merged = tiles.merge()
        return merged

    def _add_history(self) -> None:
        """Writes what lies before a view's epoch, once the archive has it, and lists both."""
        for tiles in self._open.values():
            view, epoch = tiles.view, self._epochs[tiles.view.id]
            if epoch.listed:
                continue
            past = self._history(view, epoch.vector)
            if past is None:
                continue
            with self._writer.transaction() as transaction:
                for begin in range(0, past.num_rows, _BLOCK):
                    rows = tiles_of(view, epoch.history, past.slice(begin, _BLOCK))
                    transaction.append(self._tiles, 0, encode_block(rows, self._schema_id, _newest(rows)))
                rows = listing(view, [epoch.history, epoch.name])
                transaction.append(self._tiles, 0, encode_block(rows, self._schema_id, 0))
                transaction.keep(f"epoch/{view.id}", epoch.made_known().dump())
            self._epochs[view.id] = epoch.made_known()

    def _process(self, batches: Sequence[Batch], since: Mapping[Partition, int]) -> int:
        by_topic: dict[str, list[Batch]] = defaultdict(list)
        for batch in batches:
            by_topic[batch.topic].append(batch)
        changed: list[tuple[OpenTiles, pa.Table]] = []
        blocks = []
        for topic, found in by_topic.items():
            if not self._views[topic]:
                continue
            records = self._records(topic, found, since)
            if records.num_rows == 0:
                continue
            with self._timed("load"):
                self._load(topic, records)
            for view in self._views[topic]:
                tiles = self._open[view.id]
                merged = self._merge(tiles)
                if merged.num_rows == 0:
                    continue
                with self._timed("encode"):
                    rows = tiles_of(view, self._epochs[view.id].name, merged)
                    blocks.append(encode_block(rows, self._schema_id, max(self._seen.values())))
                changed.append((tiles, merged))
        done = self._done()
        with self._timed("append"), self._writer.transaction() as transaction:
            for block in blocks:
                transaction.append(self._tiles, 0, block)
            transaction.commit(self._intake.positions)
            for view_id, before in done.items():
                transaction.keep(f"since/{view_id}", str(before).encode())
        with self._timed("hold"):
            for tiles, merged in changed:
                tiles.accept(merged, done.get(tiles.view.id, tiles.since))
        return sum(position - since[place] for place, position in self._intake.positions.items())

    def _records(self, topic: str, batches: Sequence[Batch], since: Mapping[Partition, int]) -> pa.Table:
        columns = enriched_columns(self._streams[topic])
        with self._timed("decode"):
            table = decode(batches, self._schemas, nullable_schema(topic, columns), columns, since).table
            for batch in batches:
                newest = getattr(batch.content, "arrival", 0)  # of an enriched block: that of its newest record
                place = (topic, batch.partition)
                self._seen[place] = max(self._seen.get(place, 0), newest)
        return table.select(list(columns))

    def _load(self, topic: str, records: pa.Table) -> None:
        """Makes records the micro-batch of a topic."""
        self._connection.register("_batch", records)
        self._connection.execute(f"DELETE FROM {self._tables[topic]}")
        self._connection.execute(f"INSERT INTO {self._tables[topic]} FROM _batch")
        self._connection.unregister("_batch")

    def _done(self) -> dict[str, int]:
        """For each view that has hops which no event in time can change any more: where the rest begins, ms."""
        found = {}
        behind = self._intake.behind()
        for topic, stream in self._streams.items():
            places = [place for place in self._intake.positions if place[0] == topic]
            late = [self._seen.get(place, 0) for place in places if place in behind]
            newest = min(late) if late else max((self._seen.get(place, 0) for place in places), default=0)
            for view in self._views[topic]:
                before = (newest - stream.lateness - stream.skew - OUTAGE) // view.hop * view.hop
                if view.id in self._open and before > self._open[view.id].since:
                    found[view.id] = before
        return found

    def _recalled(self, tiles: OpenTiles, wanted: pa.Table) -> pa.Table:
        """The tiles before `since` that are wanted again, by a repaired record or after an outage."""
        view = tiles.view
        found = [self._of(view, table, pc.field("hop") < tiles.since) for table in self._written()]
        rows = pa.concat_tables(found) if found else TILE.empty_table()
        newest = rows.append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
        newest = newest.join(wanted, ["key", "hop"], join_type="inner")
        last = newest.group_by(["key", "hop"]).aggregate([("_row", "max")]).column("_row_max")
        return rows.take(last)

    def _of(self, view: View, table: pa.Table, which: pc.Expression) -> pa.Table:
        epoch = pc.field("epoch") == self._epochs[view.id].name
        chosen = table.filter((pc.field("view") == view.id) & epoch & pc.field("key").is_valid() & which)
        return chosen.select(TILE.names)

    def _written(self) -> Iterator[pa.Table]:
        """All that the role has written, in order."""
        offset = self._log.bounds(self._tiles)[0][0]
        while batches := self._log.read(self._tiles, 0, offset, _BLOCK):
            yield decode(batches, self._schemas, self._schema, TILES).table.select(list(TILES))
            offset = batches[-1].end

    def _pass(self, mark: int) -> int:
        passed = self._intake.pass_mark(mark)
        with self._writer.transaction() as transaction:
            transaction.append(self._tiles, 0, Mark(mark))
            transaction.commit(self._intake.positions, mark)
        return passed

    def _topic(self, view: View) -> str:
        return next(topic for topic, stream in self._streams.items() if stream.title == view.stream)


def _newest(tiles: pa.Table) -> int:
    found: Any = pc.max(tiles.column("newest")).as_py()
    return int(found or 0)
