"""Backfill: each record once, whatever happens; what is refused is listed."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.archive.columns import schemas
from headrace.archive.delta import Archive
from headrace.archive.listing import publish
from headrace.archive.manifest import CUT
from headrace.archive.sink import ArchiveSink
from headrace.declare.topics import Topics
from headrace.errors import SourceError
from headrace.log.consumer import Consumer
from headrace.stream.cuts import Cuts
from headrace.stream.deadletters import dead_letters
from headrace.stream.enricher import Enricher
from headrace.stream.producer import Producer
from headrace.stream.tables import load_once

HOUR = 3_600_000
UNTIL = 500 * HOUR


def rows(count: int, seed: int = 0, **given: Any) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        {
            "sku": chance.choice("abc"),
            "store": chance.choice(["north", "south", "closed"]),
            "units": chance.randrange(9),
            "price": chance.choice([None, 1.5, 2.25]),
            "gift": chance.choice([None, True, False]),
            "at": chance.randrange(UNTIL),
            **given,
        }
        for _ in range(count)
    ]


def identified(shop: Any, path: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    file = shop.file_id(path)
    return [{**row, "id": (file, 0, number)} for number, row in enumerate(found)]


def assert_served(shop: Any, records: list[dict[str, Any]]) -> None:
    for view in shop.declaration.views.values():
        assert shop.served(view) == shop.expected(view, records), view.id


def test_records_pass_checks_and_joins_and_become_tiles(shop: Any) -> None:
    good = rows(60)
    path = shop.csv("sales.csv", good)
    seen: list[tuple[int, int]] = []
    report = shop.backfill([path], UNTIL, progress=lambda done, total: seen.append((done, total)))
    assert (report.entered, dict(report.dead), seen[-1]) == (60, {}, (60, 60))
    assert shop.archive.note(shop.topic, CUT) == UNTIL
    first = next(row for row in shop.archive.read(shop.topic).to_pylist() if row["_offset"] == 0)
    assert {name: first[name] for name in ("sku", "units", "_time", "_arrival", "_file", "_partition")} == {
        "sku": good[0]["sku"],
        "units": good[0]["units"],
        "_time": good[0]["at"],
        "_arrival": good[0]["at"],
        "_file": shop.file_id(path),
        "_partition": 0,
    }
    assert (first["_log_partition"], first["_log_offset"]) == (None, None)
    assert first["region"] == {"north": "N", "south": "S"}.get(good[0]["store"], "nowhere")
    assert_served(shop, identified(shop, path, good))


def test_what_is_refused_is_counted_and_listed(shop: Any) -> None:
    bad = [*rows(2), *rows(1, units=-1), *rows(1, at=UNTIL), *rows(1, at=UNTIL + 5), *rows(1, sku=None)]
    report = shop.backfill([shop.csv("sales.csv", bad)], UNTIL)
    assert report.entered == 2
    assert dict(report.dead) == {"check:units": 1, "covered": 2, "undecodable": 1}
    letters = pq.read_table(report.files[0].letters).sort_by("row").to_pylist()
    assert [(row["row"], row["reason"]) for row in letters] == [
        (2, "check:units"),
        (3, "covered"),
        (4, "covered"),
        (5, "undecodable"),
    ]
    assert letters[3]["detail"] == "sku is null"
    assert letters[0]["units"] == -1


def test_twice_is_once(shop: Any) -> None:
    good = rows(40)
    path = shop.csv("sales.csv", good)
    copy = shop.csv("copy.csv", good)
    first = shop.backfill([path, copy], UNTIL)
    versions, bounds = shop.archive.versions(), shop.log.bounds("shop.tiles.history")
    again = shop.backfill([copy], UNTIL)
    assert (first.entered, again.entered, again.tiles) == (40, 40, 0)
    assert [file.again for file in (*first.files, *again.files)] == [False, True]
    assert (shop.archive.versions(), shop.log.bounds("shop.tiles.history")) == (versions, bounds)
    assert_served(shop, identified(shop, path, good))


def test_more_files_later_are_an_epoch_of_their_own(shop: Any) -> None:
    parts = [rows(20, seed) for seed in range(3)]
    paths = [shop.csv(f"{number}.csv", part) for number, part in enumerate(parts)]
    shop.backfill(paths[:2], UNTIL)
    report = shop.backfill(paths, UNTIL)
    assert [file.again for file in report.files] == [True, True, False]
    together = [row for path, part in zip(paths, parts, strict=True) for row in identified(shop, path, part)]
    assert_served(shop, together)
    assert len(shop.archived()) == 60


def test_the_cut_stays(shop: Any) -> None:
    path = shop.csv("sales.csv", rows(5))
    shop.backfill([path], UNTIL)
    with pytest.raises(SourceError, match=f"its cut is {UNTIL} ms, and {UNTIL + 1} ms was asked for"):
        shop.backfill([shop.csv("more.csv", rows(5, 1))], UNTIL + 1)
    assert len(shop.archived()) == 5


def test_a_cut_behind_the_live_streams_first_record_is_refused(shop: Any) -> None:
    live = pa.table({"_time": [UNTIL - 7, UNTIL], "_log_partition": [0, 0], "_log_offset": [0, 1]})
    shop.archive.append(shop.topic, live, {(shop.topic, 0): 2}, None)
    with pytest.raises(SourceError, match=f"already brought 1 records before {UNTIL} ms, the first at {UNTIL - 7}"):
        shop.backfill([shop.csv("sales.csv", rows(5))], UNTIL)
    assert shop.backfill([shop.csv("sales.csv", rows(5))], UNTIL - 7).until == UNTIL - 7


class Beside:
    """The live roles of a shop, in step with a backfill that runs in a thread of its own."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        load_once(shop.declaration, shop.log, shop.registry, 0)
        self.producer = Producer(shop.log, shop.registry, shop.declaration.streams["sale"], partitions=1)
        self.enricher = Enricher(shop.declaration, shop.log, shop.registry)
        self.cuts = Cuts(shop.log, shop.registry, Topics.of(shop.declaration).cuts)
        self.failed: list[BaseException] = []

    def send(self, *times: int) -> None:
        """Events that arrive half an hour after they happen, which is in time."""
        row = {"sku": "a", "store": "north", "units": 1, "price": None, "gift": None}
        arrivals = [at + HOUR // 2 for at in times]
        self.producer.send_rows([{**row, "sold_at": at} for at in times], arrivals)

    def enrich(self) -> None:
        while self.enricher.step():
            pass

    def archive(self) -> None:
        archive = Archive(self.shop.home / "archive", schemas(self.shop.declaration))
        sink = ArchiveSink.of(self.shop.declaration, self.shop.registry, archive)
        consumer = Consumer(self.shop.log, sink.topics, sink)
        while consumer.step():
            pass
        sink.flush()

    def backfill(self, path: Path) -> threading.Thread:
        def run() -> None:
            try:
                self.shop.backfill([path], UNTIL, catch_up=self.archive)
            except SourceError as error:
                self.failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def announced(self) -> None:
        while not self.cuts.known:
            self.cuts.advance()

    def together(self, thread: threading.Thread) -> None:
        while thread.is_alive():
            self.enricher.step()

    def live(self) -> list[int]:
        rows = self.shop.archive.read(self.shop.topic).to_pylist()
        return sorted(row["_time"] for row in rows if row["_file"] is None)

    def reasons(self) -> list[str]:
        shop = self.shop
        stream = shop.declaration.streams["sale"]
        return [letter.reason for letter in dead_letters(shop.declaration, shop.log, shop.registry, stream)]


@pytest.fixture
def beside(shop: Any) -> Iterator[Beside]:
    found = Beside(shop)
    yield found
    found.enricher.close()
    shop.log.close()


def test_beside_a_running_enrich_no_record_counts_twice(shop: Any, beside: Beside) -> None:
    beside.send(UNTIL + 1)
    beside.enrich()
    good = rows(20)
    path = shop.csv("sales.csv", good)
    beside.together(beside.backfill(path))
    assert beside.failed == []
    beside.send(UNTIL - 1, UNTIL)
    beside.enrich()
    beside.archive()
    assert beside.live() == [UNTIL, UNTIL + 1]
    assert beside.reasons() == ["covered"]
    assert_served(shop, identified(shop, path, good))


def test_a_step_that_began_without_the_cut_is_seen(
    shop: Any, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cut is announced while a step that knows none is at work: what it commits refuses the backfill."""
    beside.send(UNTIL - 1)
    path = shop.csv("sales.csv", rows(5))
    process = beside.enricher._process
    threads = []

    def interrupted(batches: Any, since: Any) -> int:
        threads.append(beside.backfill(path))
        beside.announced()
        return process(batches, since)

    monkeypatch.setattr(beside.enricher, "_process", interrupted)
    assert beside.enricher.step() == 1
    monkeypatch.undo()
    beside.together(threads[0])
    assert [str(error) for error in beside.failed] == [
        f"backfill of sale: the live stream already brought 1 records before {UNTIL} ms, the first at "
        f"{UNTIL - 1} ms: they would count twice. To mend it: choose a cut before the live stream's first record"
    ]
    beside.send(UNTIL - 2)  # the cut was taken back
    beside.enrich()
    beside.archive()
    assert beside.live() == [UNTIL - 2, UNTIL - 1]
    assert beside.reasons() == []
    assert shop.archive.note(shop.topic, CUT) is None


def test_an_archive_that_lags_is_refused(shop: Any, beside: Beside) -> None:
    beside.send(UNTIL - 1)
    beside.enrich()
    beside.enricher.close()
    path = shop.csv("sales.csv", rows(5))
    with pytest.raises(SourceError, match=r"the archive lacks records .* see that the archive role keeps up"):
        shop.backfill([path], UNTIL, patience=0.0)
    beside.enricher = Enricher(shop.declaration, shop.log, shop.registry)
    beside.send(UNTIL - 2)
    beside.enrich()
    assert beside.reasons() == []


def test_an_enrich_role_that_does_not_answer_is_refused(shop: Any, beside: Beside) -> None:
    path = shop.csv("sales.csv", rows(5))
    with pytest.raises(SourceError, match="the enrich role runs, and does not take the cut up"):
        shop.backfill([path], UNTIL, patience=0.0)
    beside.together(beside.backfill(path))
    assert beside.failed == []
    assert len(shop.archived()) == 5


def test_a_cut_that_was_announced_by_a_backfill_that_was_killed_is_replaced(shop: Any, beside: Beside) -> None:
    beside.cuts.announce("sale", UNTIL + HOUR)
    beside.together(beside.backfill(shop.csv("sales.csv", rows(5))))
    beside.send(UNTIL)
    beside.enrich()
    assert beside.failed == []
    assert beside.reasons() == []


def test_a_cut_stands_for_an_enrich_that_starts_later(shop: Any, beside: Beside) -> None:
    beside.enricher.close()
    shop.backfill([shop.csv("sales.csv", rows(5))], UNTIL)
    beside.enricher = Enricher(shop.declaration, shop.log, shop.registry)
    beside.send(UNTIL - 1)
    beside.enrich()
    assert beside.reasons() == ["covered"]


def test_a_file_that_fails_in_the_middle_leaves_nothing(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.archive.backfill._BATCH", 2048)
    good = rows(5000)
    path = shop.csv("sales.csv", good)
    text = path.read_text()
    path.write_text(text + "a,north,many,,,1970-01-01T00:00:00Z\n")
    with pytest.raises(SourceError, match=r"sales.csv: row 5000, column units: 'many' is not of type Int"):
        shop.backfill([path], UNTIL)
    assert shop.archived() == []
    path.write_text(text)
    assert shop.backfill([path], UNTIL).entered == 5000


def test_an_epoch_that_is_not_complete_is_not_listed(shop: Any) -> None:
    good = rows(20)
    path = shop.csv("sales.csv", good)
    with pytest.raises(SourceError, match="column units"):
        shop.backfill([path, shop.csv("bad.csv", rows(1, units="many"))], UNTIL)
    assert len(shop.archived()) == 20
    assert publish(shop.declaration, shop.archive, shop.log, shop.registry) == 0
    assert "shop.tiles.history" not in {topic.name for topic in shop.log.topics()}
    assert shop.backfill([path], UNTIL).entered == 20
    assert_served(shop, identified(shop, path, good))


def test_other_streams_and_tables_that_are_not_loaded_are_refused(shop: Any) -> None:
    from headrace.archive.backfill import backfill

    path, where = shop.csv("sales.csv", rows(1)), (shop.archive, shop.log, shop.registry)
    with pytest.raises(SourceError, match=r"stream 'nothing': project shop has none.*name one of sale"):
        backfill(shop.declaration, "nothing", [path], UNTIL, *where)
    with pytest.raises(SourceError, match=r"its tables \(store\) were not loaded yet"):
        backfill(shop.declaration, "sale", [path], UNTIL, *where)


def test_each_record_once_through_kills(shop: Any, tmp_path: Path) -> None:
    parts = [rows(2500, seed) for seed in range(5)]
    paths = [shop.csv(f"{number}.csv", part) for number, part in enumerate(parts)]
    for name in ("shop.py", "stores.csv"):
        (tmp_path / name).write_bytes((shop.declaration.path.parent / name).read_bytes())
    (tmp_path / "until").write_text(str(UNTIL))
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, script, "backfill", tmp_path, "3", "4"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    together = [row for path, part in zip(paths, parts, strict=True) for row in identified(shop, path, part)]
    assert len(shop.archived()) == len(set(shop.archived())) == 12_500
    assert_served(shop, together)
