"""Faults during a run on Flink: nothing lost, nothing counted twice, and how long each took to recover."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.parity import results
from tests.parity.engines import PARTITIONS, Engine, cluster_of, embedded, hard_project, on_flink
from tests.parity.inputs import Raw, hard_input, written
from tests.parity.past import past

from headrace.declare.declaration import Declaration, View
from headrace.declare.topics import Topics
from headrace.stack import Stack
from headrace.stream.flink.enricher import FlinkEnricher
from headrace.stream.flink.tiler import FlinkTiler

pytestmark = [pytest.mark.timeout(1_500), pytest.mark.faults]


def equal(here: Engine, there: Engine) -> None:
    """Both made the same of the input, record by record and tile by tile; ids by place (see `results.dense`)."""
    for kind in ("enriched", "dead"):
        one, other = (made(engine, kind) for engine in (here, there))
        assert len(one) == len(other), kind
        different = [results.differences(*pair) for pair in zip(one, other, strict=True)]
        assert [each for each in different if each] == []
    alike(*(tiles_of(engine) for engine in (here, there)))


def made(engine: Engine, kind: str) -> results.Rows:
    places = results.dense(engine.log, engine.declaration.streams["sale"].topic)
    if kind == "enriched":
        rows = results.enriched(engine.log, engine.schemas, engine.declaration, "sale")
    else:
        rows = results.dead(engine.log, engine.declaration, "sale")
    found = [results.placed(row, places) for row in rows]
    key = "headrace-id" if kind == "dead" else "_offset"
    return sorted(found, key=lambda row: (row.get("_partition", 0), row[key], row.get("arrival", 0)))


def tiles_of(engine: Engine, only: Mapping[str, set[str]] | None = None) -> dict[Any, Any]:
    places = results.dense(engine.log, engine.declaration.streams["sale"].topic)
    found = results.merged(engine.log, engine.schemas, engine.declaration, only=only)
    return {place: results.placed(tile, places) for place, tile in found.items()}


def alike(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> None:
    assert set(one) == set(other)
    different = {place: results.differences(one[place], other[place], 1e-9) for place in one}
    assert {place: each for place, each in different.items() if each} == {}


def through(here: Engine, there: Engine, records: list[Raw], fault: Callable[[], None] = lambda: None) -> float:
    """Sends records through both engines, with a fault of the second one meanwhile; seconds until it had all."""
    here.produce(records)
    while here.enrich.step() + here.tile.step():
        pass
    wanted = here.judged()
    half = len(records) // 2
    there.produce(records[:half])
    there.enrich.step()
    fault()
    begun = time.monotonic()
    there.produce(records[half:])
    there.until(lambda: there.judged() >= wanted, 240)
    return time.monotonic() - begun


def tiled(here: Engine, there: Engine) -> None:
    """Waits until the second engine has counted as many events in tiles as the first."""

    def total(engine: Engine) -> int:
        found = results.merged(engine.log, engine.schemas, engine.declaration)
        return sum(tile["n"] for tile in found.values())

    wanted = total(here)
    there.until(lambda: total(there) >= wanted, 120)


def test_kills_of_every_server_and_role(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declaration = hard_project(tmp_path)
    records, _ = hard_input(declaration.streams["sale"].topic, 4_200)
    with embedded(declaration, tmp_path) as here, on_flink(declaration, stack) as there:

        def server(name: str) -> Callable[[], None]:
            def kill() -> None:
                stack.kill(name)
                stack.start(name)

            return kill

        def role(name: str) -> Callable[[], None]:
            """As after a kill -9: nothing is closed; a process of its own would have lost its lease with itself."""

            def kill() -> None:
                cluster = cluster_of(stack, declaration)
                getattr(there, name)._writer.close()
                getattr(there, name)._gateway.close()
                if name == "enrich":
                    there.enrich._mirror.close()
                    there.enrich = FlinkEnricher(declaration, there.log, there.schemas, cluster)
                else:
                    there.tile = FlinkTiler(
                        declaration, there.log, there.schemas, there.history, cluster, partitions=PARTITIONS
                    )

            return kill

        faults = {"none": lambda: None} | {
            name: server(name) for name in ("taskmanager", "jobmanager", "kafka-2", "registry")
        }  # fmt: skip
        faults |= {"role enrich": role("enrich"), "role tile": role("tile")}
        took = {}
        size = len(records) // len(faults)
        for place, (name, fault) in enumerate(faults.items()):
            part = records[place * size : (place + 1) * size]
            took[name] = through(here, there, part, fault)
        tiled(here, there)
        equal(here, there)
        with capsys.disabled():
            print("\nseconds from when the server was ready again (a role: from its kill) until all was judged:")
            for name, seconds in took.items():
                print(f"  {name:12} {seconds:6.1f}")


def test_an_outage_longer_than_transactions_live(stack: Stack, tmp_path: Path) -> None:
    declaration = hard_project(tmp_path)
    records, _ = hard_input(declaration.streams["sale"].topic, 1_500)
    with embedded(declaration, tmp_path) as here, on_flink(declaration, stack, outage=8_000) as there:
        there.tile._history = past(there)

        def outage() -> None:
            there.until(lambda: any(job.begun for job in there.tile._jobs.values()), 120)
            for name in ("taskmanager", "jobmanager"):
                stack.kill(name)
            time.sleep(12)
            stack.start("flink")

        through(here, there, records, outage)
        there.until(lambda: "live-0" not in there.tile._jobs, 60)
        there.until(lambda: all(job.epoch.listed for job in there.tile._jobs.values()), 60)
        listed = listed_epochs(there)
        assert all("live-0" not in epochs and len(epochs) == 2 for epochs in listed.values()), listed
        wanted = tiles_of(here)

        def now() -> dict[Any, Any]:
            return tiles_of(there, only=listed_epochs(there))

        there.until(lambda: sum(t["n"] for t in now().values()) >= sum(t["n"] for t in wanted.values()), 60)
        alike(wanted, now())


def listed_epochs(engine: Engine) -> dict[str, set[str]]:
    """The epochs that a reader merges, by view."""
    topic = Topics.of(engine.declaration).tiles
    listed: dict[str, set[str]] = {}
    for row in results.records(engine.log, engine.schemas, topic, results.TILES):
        if row["key"] is None:
            epochs = listed.setdefault(row["view"], set())
            (epochs.discard if row["n"] == 0 else epochs.add)(row["epoch"])
    return listed


def test_state_that_expired_begins_an_epoch(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = hard_project(tmp_path)
    stream = replace(whole.streams["sale"], lateness=0, skew=0)
    views = {name: view for name, view in whole.views.items() if view.hop == 10_000 and view.by == ("sku",)}
    declaration = replace(whole, streams={"sale": stream}, views=views)
    at = 1_700_000_000_000
    record = {
        "sku": "apple", "country": "ch", "zone": 1, "units": 3, "price": 1.0, "gift": True, "seen_at": None,
        "sold_at": at,
    }  # fmt: skip

    def sent(arrival: int, **more: Any) -> Raw:
        return Raw(0, b"apple", written({**record, **more}, 2), 2, arrival)

    with on_flink(declaration, stack, outage=1_000) as there:
        in_time, late = sent(at), sent(at + 60_000, units=5)
        there.produce([in_time, late])
        there.until(lambda: there.judged() == 2)
        there.until(lambda: total_of(there) == 3, 60)
        sizes = [there.tile._gateway.state_size(job) for job in there.tile.running().values() if job]
        time.sleep(13)  # hop and outage are 11 s
        topic = stream.topic
        repaired = replace(late, headers={"headrace-repairs": f"{topic}/0/1".encode()})
        there.produce([repaired])
        there.until(lambda: total_of(there) == 8, 60)
        found = results.tiles(there.log, there.schemas, declaration)
        epochs = {place[-1] for place in found}
        assert epochs == {"live-0", "live-0~51"}
        units = {place[-1]: tile["a_int"] for place, tile in found.items() if place[0] == summed(declaration).id}
        assert units == {"live-0": 3, "live-0~51": 5}
    with capsys.disabled():
        print(f"\nstate of {len(views)} tiles: {sizes} bytes")


def summed(declaration: Declaration) -> View:
    """The view that sums units."""
    return next(view for view in declaration.views.values() if view.expression is not None)


def total_of(engine: Engine) -> int:
    """The units in all tiles."""
    found = results.merged(engine.log, engine.schemas, engine.declaration)
    return sum(tile["a"] for place, tile in found.items() if place[0] == summed(engine.declaration).id)
