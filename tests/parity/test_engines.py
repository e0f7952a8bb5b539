"""The same hard input through both engines: equal record by record, dead letter by dead letter, tile by tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.parity import results
from tests.parity.engines import Engine, embedded, hard_project, on_flink
from tests.parity.inputs import Raw, hard_input

from headrace.log.sqlite import SqliteLog
from headrace.stack import Stack

pytestmark = pytest.mark.timeout(600)
COUNT = 3_000


@pytest.fixture(scope="module")
def engines(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    """Both, after the input and then its repairs have gone through."""
    root = tmp_path_factory.mktemp("hard")
    declaration = hard_project(root)
    records, repairs = hard_input(declaration.streams["sale"].topic, COUNT)
    with embedded(declaration, root) as here, on_flink(declaration, stack) as there:
        for part in (records, repairs):
            run(here, part, lambda: False)
            wanted = here.judged()
            run(there, part, lambda wanted=wanted: there.judged() >= wanted)
        newest = total(here)
        there.until(lambda: total(there) >= newest, 60)
        yield here, there


def run(engine: Engine, records: list[Raw], done: Any) -> None:
    engine.produce(records)
    if isinstance(engine.log, SqliteLog):
        while engine.enrich.step() + engine.tile.step():
            pass
    else:
        engine.until(done)


def total(engine: Engine) -> int:
    """All events in all tiles."""
    return sum(tile["n"] for tile in results.tiles(engine.log, engine.schemas, engine.declaration).values())


def test_the_input_is_hard(engines: tuple[Engine, Engine]) -> None:
    reasons = Counter(
        letter["headrace-reason"] for letter in results.dead(engines[0].log, engines[0].declaration, "sale")
    )
    wanted = {
        "undecodable",
        "future",
        "late",
        "check:units",
        "check:price",
        "check:product",
        "check:known",
        "check:twice",
    }
    assert set(reasons) == wanted
    assert min(reasons.values()) > 20, reasons


def test_enriched_records_are_equal(engines: tuple[Engine, Engine]) -> None:
    here, there = (results.enriched(engine.log, engine.schemas, engine.declaration, "sale") for engine in engines)
    assert len(here) == len(there) > COUNT / 3
    found = [(a["_partition"], a["_offset"], results.differences(a, b)) for a, b in zip(here, there, strict=True)]
    assert [each for each in found if each[-1]] == []


def test_they_stand_in_the_partition_of_their_raw_record(engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        for name in ("enriched", "dead"):
            here, there = (results.places(each.log, each.declaration, name) for each in engines)
            assert here == there, (engine, name)


def test_dead_letters_are_equal(engines: tuple[Engine, Engine]) -> None:
    here, there = (results.dead(engine.log, engine.declaration, "sale") for engine in engines)
    assert len(here) == len(there) > COUNT / 10
    found = [(a["headrace-id"], results.differences(a, b)) for a, b in zip(here, there, strict=True)]
    assert [each for each in found if each[-1]] == []


def test_tiles_are_equal(engines: tuple[Engine, Engine]) -> None:
    here, there = (results.merged(engine.log, engine.schemas, engine.declaration) for engine in engines)
    assert len(here) > 500
    assert set(here) == set(there)
    found = {place: results.differences(here[place], there[place], 1e-9) for place in here}
    assert {place: each for place, each in found.items() if each} == {}


def test_late_repairs_have_an_epoch_of_their_own(engines: tuple[Engine, Engine]) -> None:
    _, there = engines
    epochs = {place[-1] for place in results.tiles(there.log, there.schemas, there.declaration)}
    assert {epoch.partition("~")[0] for epoch in epochs} == {"live-0"}
    assert len(epochs) > 2
