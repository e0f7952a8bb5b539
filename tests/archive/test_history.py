"""History and the live stream: each record once in every view, whoever tiles it and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace.archive.history import history
from headrace.archive.listing import publish
from headrace.archive.sink import ArchiveSink
from headrace.compile.tiles import TILE
from headrace.declare.declaration import Declaration
from headrace.log.consumer import Consumer
from headrace.stream.enricher import Enricher
from headrace.stream.producer import Producer
from headrace.stream.tables import load_once
from headrace.stream.tiler import Tiler

MINUTE = 60_000
UNTIL = 1_000 * 60 * MINUTE
ORDER = ["sku", "store", "units", "price", "gift", "at"]
Live = dict[str, Any]


class Running:
    """The roles of a shop, each run for a while when it is its turn."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        load_once(shop.declaration, shop.log, shop.registry, 0)

    def produce(self, rows: list[Live]) -> list[Live]:
        """Sends rows that arrive when they happen; as records with their ids."""
        shop = self.shop
        stream = shop.declaration.streams["sale"]
        producer = Producer(shop.log, shop.registry, stream, partitions=2)
        before = [end for _, end in shop.log.bounds(stream.topic)]
        ordered = sorted(rows, key=lambda row: row["at"])
        columns = {name: [row[name] for row in ordered] for name in ORDER[:-1]}
        times = np.array([row["at"] for row in ordered], np.int64)
        kinds = {name: kind.arrow for name, kind in stream.columns.items() if name in columns}
        arrays = {name: pa.array(values, kinds[name]) for name, values in columns.items()}
        producer.send_table(pa.table({**arrays, "sold_at": pa.array(times).cast(pa.timestamp("ms"))}), times)
        return self._placed(ordered, before)

    def _placed(self, ordered: list[Live], before: list[int]) -> list[Live]:
        from headrace.log.murmur2 import partitions_for

        places = partitions_for(pa.array([row["sku"] for row in ordered], pa.string()), 2).tolist()
        records = []
        for row, partition in zip(ordered, places, strict=True):
            records.append({**row, "id": ("", partition, before[partition])})
            before[partition] += 1
        return records

    def enrich(self) -> None:
        enricher = Enricher(self.shop.declaration, self.shop.log, self.shop.registry)
        while enricher.step():
            pass
        enricher.close()

    def archive(self) -> None:
        sink = ArchiveSink.of(self.shop.declaration, self.shop.registry, self.shop.archive)
        consumer = Consumer(self.shop.log, sink.topics, sink)
        while consumer.step():
            pass
        sink.flush()

    def tile(self, declaration: Declaration) -> None:
        """As the tile role does."""
        shop = self.shop
        publish(declaration, shop.archive, shop.log, shop.registry)
        tiler = Tiler(declaration, shop.log, shop.registry, history(shop.archive, declaration), limit=7)
        while tiler.step():
            pass
        tiler.close()


def live_rows(at: st.SearchStrategy[int]) -> st.SearchStrategy[list[Live]]:
    row = st.fixed_dictionaries(
        {
            "sku": st.sampled_from(["a", "b|", "c\\"]),
            "store": st.sampled_from(["north", "south", "closed"]),
            "units": st.integers(0, 9),
            "price": st.none() | st.sampled_from([0.5, 2.25, 3.0]),
            "gift": st.none(),
            "at": at,
        }
    )
    return st.lists(row, min_size=1, max_size=8)


PAST = live_rows(st.integers(UNTIL - 600 * MINUTE, UNTIL - 1) | st.just(UNTIL - 1))
LIVE = live_rows(st.integers(UNTIL, UNTIL + 600 * MINUTE) | st.just(UNTIL))
STEPS = st.permutations(
    ["past 0", "past 1", "live 0", "live 1", "enrich", "enrich", "archive", "archive", "tile", "wider"]
)


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example takes seconds: shrinking would take minutes
    suppress_health_check=[HealthCheck.too_slow],
)
@given(past=st.tuples(PAST, PAST), live=st.tuples(LIVE, LIVE), steps=STEPS)
def test_each_record_is_in_each_view_once(
    past: tuple[list[Live], ...],
    live: tuple[list[Live], ...],
    steps: list[str],
    open_shop: Callable[[Path], Any],
    wider: Declaration,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shop = open_shop(tmp_path_factory.mktemp("shop"))
    running = Running(shop)
    latest = shop.declaration
    records: list[Live] = []
    for step in [*steps, "enrich", "archive", "wider", "past 0"]:
        what, _, number = step.partition(" ")
        if what == "past":
            path = shop.csv(f"{number}.csv", past[int(number)])
            running.archive()  # one that lags is waited for, and then refused: see test_backfill.py
            again = shop.backfill([path], UNTIL).files[0].again
            file = shop.file_id(path)
            if not again:
                records += [{**row, "id": (file, 0, place)} for place, row in enumerate(past[int(number)])]
        elif what == "live":
            records += running.produce(live[int(number)])
        elif what == "enrich":
            running.enrich()
        elif what == "archive":
            running.archive()
        else:
            latest = wider if what == "wider" else latest
            running.tile(latest)
    running.tile(wider)
    known = replace_declaration(shop, wider)
    for view in wider.views.values():
        assert known.served(view) == known.expected(view, records), view.id


def replace_declaration(shop: Any, declaration: Declaration) -> Any:
    return replace(shop, declaration=declaration)


def row(at: int, sku: str = "a", units: int = 1) -> Live:
    return {"sku": sku, "store": "north", "units": units, "price": 1.5, "gift": None, "at": at}


def test_the_live_stream_takes_over_at_the_cut(shop: Any) -> None:
    past = [row(UNTIL - 61 * MINUTE), row(UNTIL - 1), row(UNTIL), row(UNTIL + 1)]
    path = shop.csv("sales.csv", past)
    assert dict(shop.backfill([path], UNTIL).dead) == {"covered": 2}
    running = Running(shop)
    live = running.produce([row(UNTIL), row(UNTIL + 1), row(UNTIL + 61 * MINUTE)])
    running.enrich()
    running.tile(shop.declaration)
    running.archive()
    records = [{**past[n], "id": (shop.file_id(path), 0, n)} for n in range(2)] + live
    for view in shop.declaration.views.values():
        assert shop.served(view) == shop.expected(view, records)
    assert [found[1] for found in shop.archived()] == sorted(record["at"] for record in records)


def test_a_new_window_has_its_history_and_leaves_the_others_alone(shop: Any, wider: Declaration) -> None:
    path = shop.csv("sales.csv", past := [row(UNTIL - n * MINUTE, units=n) for n in range(1, 200)])
    shop.backfill([path], UNTIL)
    running = Running(shop)
    live = running.produce([row(UNTIL + n * MINUTE, units=n) for n in range(100)])
    running.enrich()
    running.tile(shop.declaration)
    before = [shop.log.bounds(topic) for topic in ("shop.tiles", "shop.tiles.history")]
    running.tile(wider)  # the archive is not there yet: the new view waits, unlisted
    (new,) = set(wider.views) - set(shop.declaration.views)
    assert len(shop.served(wider.views[new])) == 4  # what was backfilled
    running.archive()
    running.tile(wider)
    records = [{**row, "id": (shop.file_id(path), 0, n)} for n, row in enumerate(past)] + live
    for view in wider.views.values():
        assert shop.served(view) == shop.expected(view, records)
    for topic, bounds in zip(("shop.tiles", "shop.tiles.history"), before, strict=True):
        assert set(views_written(shop, topic, bounds[0][1])) == {new}


def views_written(shop: Any, topic: str, since: int) -> list[str]:
    from headrace.schema.avro import decode, nullable_schema
    from headrace.stream.layouts import TILES

    batches = shop.log.read(topic, 0, since, 100_000)
    found: list[str] = (
        decode(batches, shop.registry, nullable_schema(topic, TILES), TILES).table["view"].to_pylist()
    )
    return found


def test_history_waits_for_the_archive(shop: Any) -> None:
    running = Running(shop)
    running.produce([row(UNTIL + n, sku) for n in range(5) for sku in ("a", "b")])
    running.enrich()
    past = history(shop.archive, shop.declaration)
    view = next(iter(shop.declaration.views.values()))
    vector = {(shop.topic, n): end for n, (_, end) in enumerate(shop.log.bounds(shop.topic))}
    assert past(view, {}).equals(TILE.empty_table())
    assert past(view, vector) is None
    running.archive()
    assert sum(past(view, vector)["n"].to_pylist()) == 10
    place = next(place for place, end in vector.items() if end)
    assert sum(past(view, {place: 1, ("another", 0): 99})["n"].to_pylist()) == 1


def test_a_view_that_a_backfill_did_not_know_has_its_tiles_from_the_tile_role(
    shop: Any, wider: Declaration
) -> None:
    path = shop.csv("sales.csv", past := [row(UNTIL - n * MINUTE) for n in range(1, 9)])
    shop.backfill([path], UNTIL)
    known = replace(shop, declaration=wider)
    (new,) = set(wider.views) - set(shop.declaration.views)
    assert known.served(wider.views[new]) == {}
    running = Running(known)
    running.tile(wider)
    records = [{**row, "id": (shop.file_id(path), 0, n)} for n, row in enumerate(past)]
    for view in wider.views.values():
        assert known.served(view) == known.expected(view, records)
