"""What a running job may meet: rows that change while it is down, floods of bad records, no registry."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tests.parity import results
from tests.parity.engines import HARD, Engine, embedded, hard_project, on_flink
from tests.parity.inputs import PARTITIONS, START, Raw, spoilt, written
from tests.parity.past import recomputed

from headrace.declare.declaration import Declaration
from headrace.declare.duration import MINUTE
from headrace.declare.topics import Topics
from headrace.log.batches import Framed
from headrace.stack import Stack

pytestmark = [pytest.mark.timeout(600), pytest.mark.faults]
SKUS = ("apple", "birne", "kiwi")
REFRESH = 2.0


def sale(number: int, schema: int = 2) -> Raw:
    """A good record; its time goes on with its number."""
    at = START + 50 * number
    sku = SKUS[number % len(SKUS)]
    record = {
        "sku": sku, "country": "ch", "zone": 1, "units": number % 7, "price": 0.5 * (number % 11), "gift": True,
        "seen_at": None, "cost": 1.5, "sold_at": at,
    }  # fmt: skip
    return Raw(number % PARTITIONS, sku.encode(), written(record, schema), schema, at)


class Suppliers:
    """The table Supplier in the stack's PostgreSQL; every row names the same supplier."""

    def __init__(self, stack: Stack) -> None:
        stack.start("postgres")
        self.address = stack.address("postgres")
        self.name = f"suppliers_{uuid4().hex[:8]}"
        self._connection = psycopg.connect(self.address, autocommit=True)
        self._connection.execute(
            f"CREATE TABLE {self.name} (sku text PRIMARY KEY, supplier text, lead bigint, weight float8, "
            "since timestamptz)"
        )
        for sku in SKUS:
            self._connection.execute(f"INSERT INTO {self.name} VALUES (%s, 'before', 3, 0.5, now())", [sku])

    def change(self, supplier: str) -> None:
        self._connection.execute(f"UPDATE {self.name} SET supplier = %s", [supplier])

    def project(self, root: Path) -> Declaration:
        """The hard project over this table, refreshed every two seconds."""
        there = 'source="suppliers.csv", key="sku", refresh="1m"'
        text = HARD.read_text()
        assert there in text
        here = f'source="{self.address}#{self.name}", key="sku", refresh="{REFRESH:.0f}s"'
        return hard_project(root, text.replace(there, here))

    def close(self) -> None:
        self._connection.execute(f"DROP TABLE {self.name}")
        self._connection.close()


@pytest.fixture
def suppliers(stack: Stack) -> Iterator[Suppliers]:
    made = Suppliers(stack)
    yield made
    made.close()


def suppliers_of(engine: Engine) -> dict[int, str]:
    """The supplier that each record was joined with, by the number of the record."""
    rows = results.enriched(engine.log, engine.schemas, engine.declaration, "sale")
    return {(row["_arrival"] - START) // 50: row["supplier"] for row in rows}


def test_a_row_that_changes_while_the_job_is_down(stack: Stack, suppliers: Suppliers, tmp_path: Path) -> None:
    """What was joined stands in the committed enriched record, and tiles are of those, before and after."""
    with on_flink(suppliers.project(tmp_path), stack) as engine:
        engine.produce([sale(number) for number in range(600)])
        engine.until(lambda: engine.judged() == 600)
        stack.kill("taskmanager")
        engine.produce([sale(number) for number in range(600, 1_200)])
        suppliers.change("after")
        engine.refresh_tables(MINUTE)
        engine.enrich.step()
        stack.start("taskmanager")
        engine.until(lambda: engine.judged() == 1_200)
        found = suppliers_of(engine)
        assert {found[number] for number in range(600)} == {"before"}
        assert {found[number] for number in range(600, 1_200)} == {"after"}
        assert_tiles_are_of_what_is_committed(engine)


def assert_tiles_are_of_what_is_committed(engine: Engine) -> None:
    wanted = recomputed(engine)
    events = sum(tile["n"] for tile in wanted.values())

    def now() -> dict[Any, Any]:
        return results.merged(engine.log, engine.schemas, engine.declaration)

    engine.until(lambda: sum(tile["n"] for tile in now().values()) >= events, 60)
    tiles = now()
    assert set(tiles) == set(wanted)
    different = {place: results.differences(wanted[place], tiles[place], 1e-9) for place in wanted}
    assert {place: each for place, each in different.items() if each} == {}


@contextmanager
def either(name: str, declaration: Declaration, stack: Stack, root: Path) -> Iterator[Engine]:
    with embedded(declaration, root) if name == "embedded" else on_flink(declaration, stack) as engine:
        yield engine


@pytest.mark.parametrize("name", ["embedded", "flink"])
def test_a_changed_row_is_seen_within_the_declared_refresh(
    name: str, stack: Stack, suppliers: Suppliers, tmp_path: Path
) -> None:
    """One refresh of the role, and on Flink one of its cache, after the change every record is joined anew."""
    with either(name, suppliers.project(tmp_path), stack, tmp_path) as engine:
        engine.produce([sale(number) for number in range(6)])
        engine.until(lambda: engine.judged() == 6)
        suppliers.change("after")
        engine.refresh_tables(MINUTE)
        engine.enrich.step()  # the mirror
        if name == "flink":
            time.sleep(REFRESH + 0.1)  # the cache
        engine.produce([sale(number) for number in range(6, 12)])
        engine.until(lambda: engine.judged() == 12)
        found = suppliers_of(engine)
        assert [found[number] for number in range(12)] == ["before"] * 6 + ["after"] * 6


def test_a_flood_of_undecodable_records(stack: Stack, tmp_path: Path) -> None:
    """Each is a dead letter with its own bytes, once; all the good ones among them arrive, once."""
    pick = random.Random(11)
    good, bad = 2_000, 20_000
    records = [sale(number) for number in range(good)]
    for number in range(bad):
        raw = sale(number % good, 1 + number % 2)
        assert raw.payload is not None
        payload, version = spoilt(pick, raw.payload, raw.schema or 2)
        records.append(Raw(raw.partition, raw.key, payload, version, raw.arrival))
    pick.shuffle(records)
    with on_flink(hard_project(tmp_path), stack) as engine:
        for begin in range(0, len(records), 2_000):
            engine.produce(records[begin : begin + 2_000])
            engine.enrich.step()
        engine.until(lambda: engine.judged() >= len(records), 240)
        topics = Topics.of(engine.declaration)
        sent = values(engine, engine.declaration.streams["sale"].topic)
        letters = letters_of(engine, topics.dead("sale"))
        dead = [(place, value) for reason, place, value in letters if reason == "undecodable"]
        assert len(dead) == len(dict(dead)) == bad
        assert dict(dead) == {place: sent[place] for place, _ in dead}
        rows = results.enriched(engine.log, engine.schemas, engine.declaration, "sale")
        arrived = Counter((row["_partition"], row["_offset"]) for row in rows)
        assert arrived == Counter(set(sent) - set(dict(dead)))
        assert len(letters) == bad


Place = tuple[int, int]


def values(engine: Engine, topic: str) -> dict[Place, bytes | None]:
    """The bytes of every record of a topic, by partition and offset."""
    found: dict[Place, bytes | None] = {}
    for batch in results.batches(engine.log, topic):
        assert isinstance(batch.content, Framed)
        column = batch.content.records.column("value").to_pylist()
        found |= {(batch.partition, batch.offset + row): value for row, value in enumerate(column)}
    return found


def letters_of(engine: Engine, topic: str) -> list[tuple[str, Place, bytes | None]]:
    """Reason, place of the raw record, and bytes of each dead letter."""
    found = []
    for batch in results.batches(engine.log, topic):
        assert isinstance(batch.content, Framed)
        for record in batch.content.records.to_pylist():
            headers = dict(record["headers"])
            _, partition, offset = headers["headrace-id"].decode().rsplit("/", 2)
            found.append((headers["headrace-reason"].decode(), (int(partition), int(offset)), record["value"]))
    return found


def test_an_outage_of_the_registry_makes_no_dead_letters(stack: Stack, tmp_path: Path) -> None:
    """The job has not met the second schema when the registry goes: it waits, and goes on when that is back."""
    with on_flink(hard_project(tmp_path), stack) as engine:
        engine.produce([sale(number, 1) for number in range(300)])
        engine.until(lambda: engine.judged() == 300)
        stack.kill("registry")
        try:
            engine.produce([sale(number, 2) for number in range(300, 600)])
            gateway, job = engine.enrich._gateway, engine.enrich.running
            assert job is not None
            engine.until(lambda: "schema registry does not answer" in (gateway.failure(job) or ""), 60)
            assert engine.judged() == 300
        finally:
            stack.start("registry")
        engine.until(lambda: engine.judged() == 600)
        assert results.dead(engine.log, engine.declaration, "sale") == []
        assert engine.enrich.running == job
        assert_tiles_are_of_what_is_committed(engine)
