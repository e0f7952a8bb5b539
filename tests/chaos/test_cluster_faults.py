"""kill -9 of each role's process and of Redis, which loses what it had not flushed, beneath `headrace up`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import polars as pl
import pytest
from tests.loop.deployment import PROJECT, Deployment, write_data
from tests.parity import results
from tests.parity.engines import Engine
from tests.parity.past import recomputed

from headrace.declare.topics import Topics
from headrace.features.contract import OnlineStore, TileRange
from headrace.features.online import OnlineSink
from headrace.features.sqlite import SqliteStore
from headrace.log.consumer import Consumer
from headrace.log.contract import Log
from headrace.roles.supervisor import ROLES
from headrace.stack import Stack

pytestmark = [pytest.mark.timeout(1_500), pytest.mark.faults]
SHARE = 300
"""Purchases sent with each fault."""


@dataclass
class Flow:
    """How far a deployment has come, by what stands on its log."""

    deployment: Deployment
    log: Log
    _read: dict[tuple[str, int], int] = field(default_factory=dict)
    judged: int = 0
    sent: int = 0
    lacking: str = ""

    def __post_init__(self) -> None:
        topics = Topics.of(self.deployment.declaration)
        [stream] = self.deployment.declaration.streams
        self.records = topics.enriched(stream), topics.dead(stream)
        self.tiles = topics.tiles

    def send(self, rows: pl.DataFrame) -> None:
        rows.write_parquet(self.deployment.folder / "share.parquet")
        self.deployment.run("produce", "purchase", str(self.deployment.folder / "share.parquet"))
        self.sent += rows.height

    def settled(self) -> bool:
        """All that was sent is judged; archive and online store have all that is on the log."""
        self.lacking = self._lacking()
        return not self.lacking

    def wait(self, when: str, seconds: float = 400) -> None:
        try:
            self.deployment.wait(f"{when}: something is missing", self.settled, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{when}: {self.lacking}") from error

    def _lacking(self) -> str:
        there = {topic.name for topic in self.log.topics()}
        if not {*self.records, self.tiles} <= there:
            return "topics"
        for topic in self.records:
            for partition, (first, _) in enumerate(self.log.bounds(topic)):
                while batches := self.log.read(topic, partition, self._read.get((topic, partition), first), 10_000):
                    self.judged += sum(batch.count for batch in batches)
                    self._read[topic, partition] = batches[-1].end
        if self.judged < self.sent:
            return f"{self.judged} of {self.sent} are judged"
        lagging = [
            role
            for role, topics in (("archive", self.records[:1]), ("online", [self.tiles]))
            if not self._has(role, topics)
        ]
        return f"{lagging} lag" if lagging else "" if self.answers() else "the server"

    def _has(self, role: str, topics: Sequence[str]) -> bool:
        """Whether no record stands behind a role's positions. (The end of a transaction may.)"""
        positions = self.log.committed(role).positions
        return not any(
            batch.count
            for topic in topics
            for partition, (first, _) in enumerate(self.log.bounds(topic))
            for batch in self.log.read(topic, partition, positions.get((topic, partition), first), 1)
        )

    def answers(self) -> bool:
        try:
            return self.deployment.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


def roles_of(supervisor: int) -> dict[str, int]:
    """The pid of each role's process."""
    found = {}
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        except FileNotFoundError:
            continue
        if "run" in words:
            found[words[words.index("run") + 1]] = int(pid)
    return found


def replaced(supervisor: int, role: str, before: Mapping[str, int]) -> bool:
    """Whether a role has another process than before."""
    return roles_of(supervisor).get(role, before[role]) != before[role]


@pytest.fixture
def cluster(stack: Stack, tmp_path: Path) -> Iterator[Deployment]:
    """The inventory project under a name of its own, without a model."""
    stack.start("kafka", "registry", "flink", "postgres", "redis")
    write_data(tmp_path)
    name = f"demand{uuid4().hex[:8]}"
    text = PROJECT.read_text().replace("inventory.purchases", f"{name}.purchases")
    (tmp_path / "inventory" / "project.py").write_text(text.replace('Project("demand"', f'Project("{name}"'))
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace" / "stack").symlink_to(stack.home)
    deployment = Deployment(tmp_path, "cluster")
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.down()
        deployment.client.close()


def test_kills_beneath_up(cluster: Deployment, stack: Stack, tmp_path: Path, capsys: Any) -> None:
    profile = cluster.opened()
    log, schemas = profile.open_log(), profile.open_schemas()
    flow = Flow(cluster, log)
    rows = pl.read_parquet(tmp_path / "live.parquet")
    assert cluster.process is not None
    supervisor = cluster.process.pid

    def role(name: str) -> Callable[[], None]:
        def kill() -> None:
            os.kill(roles_of(supervisor)[name], signal.SIGKILL)

        return kill

    def redis() -> None:
        stack.kill("redis")
        for path in (stack.home / "data" / "redis").glob("appendonlydir/*.incr.aof"):
            os.truncate(path, max(path.stat().st_size - 20_000, 0))
        stack.start("redis")

    faults: dict[str, Callable[[], None]] = {"none": lambda: None, "redis": redis}
    faults |= {f"role {name}": role(name) for name in ROLES}
    took = {}
    for place, (name, fault) in enumerate(faults.items()):
        before = roles_of(supervisor)
        fault()
        begun = time.monotonic()
        flow.send(rows.slice(place * SHARE, SHARE))
        flow.wait(name)
        took[name] = time.monotonic() - begun
        if name.startswith("role "):
            cluster.wait(
                f"{name} runs again", partial(replaced, supervisor, name.removeprefix("role "), before), 60
            )
    engine = Engine(cluster.declaration, log, schemas, None, None)
    wanted = recomputed(engine)
    cluster.wait("tiles", lambda: equal(wanted, results.merged(log, schemas, cluster.declaration)), 60)
    flow.wait("at the end")
    assert flow.judged == flow.sent == SHARE * len(faults)
    assert archived(cluster) == count_of(log, flow.records[0])
    online, anew = profile.open_online(), SqliteStore(tmp_path / "anew.sqlite")
    sink = OnlineSink(cluster.declaration, schemas, anew)
    consumer = Consumer(
        log, [topic for topic in sink.topics if topic in {each.name for each in log.topics()}], sink
    )
    while consumer.step():
        pass
    assert contents(online, wanted, cluster) == contents(anew, wanted, cluster)
    online.close()
    anew.close()
    log.close()
    with capsys.disabled():
        print("\nseconds from the kill until all that was sent meanwhile was judged, archived and online:")
        for name, seconds in took.items():
            print(f"  {name:14} {seconds:6.1f}")


def equal(wanted: Any, found: Any) -> bool:
    return set(wanted) == set(found) and not any(
        results.differences(tile, found[place], 1e-9) for place, tile in wanted.items()
    )


def count_of(log: Log, topic: str) -> int:
    return sum(batch.count for batch in results.batches(log, topic))


def archived(cluster: Deployment) -> int:
    """Enriched records in the archive."""
    [stream] = cluster.declaration.streams
    archive = cluster.opened().open_archive(cluster.declaration)
    return int(archive.read(Topics.of(cluster.declaration).enriched(stream)).num_rows)


def contents(store: OnlineStore, places: Any, cluster: Deployment) -> Any:
    """What the store gives for each view and key from their first hop on."""
    first: dict[tuple[str, str], int] = {}
    for view, key, hop in places:
        first[view, key] = min(hop, first.get((view, key), hop))
    ranges = [TileRange(cluster.declaration.views[view], key, hop) for (view, key), hop in first.items()]
    return dict(zip(first, store.read(ranges, [], 2**53).partials, strict=True))
