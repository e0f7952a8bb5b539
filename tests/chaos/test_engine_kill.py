"""Enrich and tile are killed again and again at random moments of real work; nothing is lost or counted twice."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import random
import runpy
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headrace.declare.topics import Topics
from headrace.log.batches import Framed, Record
from headrace.log.sqlite import SqliteLog
from headrace.log.turns import transaction_in_turn
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.folder import FolderSchemas
from headrace.stream.deadletters import dead_letters
from headrace.stream.layouts import TILES, enriched_columns
from headrace.stream.producer import Producer
from headrace.stream.repairs import HEADER

KILLS = 20
RECORDS = 6_000
ROLES = ("enrich", "tile")
TOPICS = Topics("shop")
SCRIPT = Path(__file__).with_name("engine_roles.py")


@pytest.fixture(scope="module")
def roles() -> ModuleType:
    spec = importlib.util.spec_from_file_location("engine_roles", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Feed:
    """The same raw topic every time: good and bad records, in many small batches."""

    def __init__(self, folder: Path, roles: ModuleType) -> None:
        self._dice = random.Random(11)
        self._number = 0
        self._log = SqliteLog(folder / "log")
        stream = roles.declaration(folder).streams["sale"]
        self._producer = Producer(self._log, FolderSchemas(folder / "schemas"), stream, partitions=2)
        with transaction_in_turn(self._log, "producers") as transaction:
            transaction.append("shop.sales", 0, Framed.of([Record(b"k", b"", {}, 1_000_000)], now=0))

    def send(self, records: int) -> None:
        dice = self._dice
        for _ in range(0, records, 50):
            rows, arrivals, headers = [], [], []
            for number in range(self._number, self._number + 50):
                at = 1_000_000 + number * 20 - dice.randrange(6_000)
                rows.append({"sku": f"k{dice.randrange(9)}", "units": dice.randrange(-1, 50), "at": at})
                arrivals.append(1_000_000 + number * 20)
                headers.append({HEADER: b"shop.sales/0/0"} if number % 100 == 99 else {})
            self._producer.send_rows(rows, arrivals, headers)
            self._number += 50
            with transaction_in_turn(self._log, "producers") as transaction:
                nonsense = Record(b"k", dice.randbytes(9), {}, arrivals[-1])
                transaction.append("shop.sales", self._number // 50 % 2, Framed.of([nonsense], now=0))

    def close(self) -> None:
        self._log.close()


@dataclass
class Running:
    """A role's process, and what it says."""

    process: BaseProcess
    said: Connection

    @classmethod
    def start(cls, folder: Path, role: str) -> Running:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["ibis.backends.duckdb", "headrace.stream.enricher", "headrace.stream.tiler"]
        )
        said, says = context.Pipe(duplex=False)
        found = {"ARGUMENTS": (folder, role, 100, says)}
        process = context.Process(target=runpy.run_path, args=(str(SCRIPT), found, "__main__"), daemon=True)
        process.start()
        says.close()
        return cls(process, said)

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL

    def end(self) -> None:
        self.process.join()
        assert self.process.exitcode == 0


def outcome(folder: Path, roles: ModuleType) -> dict[str, Any]:
    """Enriched records by id, dead letters, final tiles and listings."""
    log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    project = roles.declaration(folder)
    stream = project.streams["sale"]
    columns, topic = enriched_columns(stream), TOPICS.enriched("sale")
    enriched = []
    for partition in range(2):
        batches = log.read(topic, partition, 0, 10**9)
        table = decode(batches, schemas, nullable_schema(topic, columns), columns).table
        enriched += table.select(list(columns)).to_pylist()
    tiles = {}
    table = decode(log.read(TOPICS.tiles, 0, 0, 10**9), schemas, nullable_schema(TOPICS.tiles, TILES), TILES).table
    for tile in table.select(list(TILES)).to_pylist():
        tiles[tile["view"], tile["key"], tile["hop"], tile["epoch"]] = tile
    letters = sorted(
        (letter.id, letter.reason, letter.detail) for letter in dead_letters(project, log, schemas, stream)
    )
    log.close()
    ids = [(row["_partition"], row["_offset"]) for row in enriched]
    assert len(set(ids)) == len(ids)
    return {"enriched": dict(zip(ids, enriched, strict=True)), "dead": letters, "tiles": tiles}


def test_twenty_kills_change_nothing(tmp_path: Path, roles: ModuleType) -> None:
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    dice = random.Random(5)
    feeds = []
    for folder in (calm, stormy):
        folder.mkdir()
        feeds.append(Feed(folder, roles))
    for _ in range(KILLS // len(ROLES)):
        for feed in feeds:
            feed.send(RECORDS // KILLS * len(ROLES))
        running = [Running.start(stormy, role) for role in ROLES]
        for role in running:
            assert role.said.poll(120)  # a first step is done, and the next ones are under way
            role.said.recv()
            threading.Event().wait(dice.random() * 0.02)
            role.kill()
    for feed, folder in zip(feeds, (calm, stormy), strict=True):
        feed.close()
        (folder / "drain").touch()
        for name in ROLES:
            Running.start(folder, name).end()
    got, want = outcome(stormy, roles), outcome(calm, roles)
    assert len(want["enriched"]) > RECORDS // 2
    assert len(want["dead"]) > RECORDS // 20
    assert got == want
