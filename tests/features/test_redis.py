"""The Redis store's own duties: what it does when Redis is killed, full, closed or another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
import redis

from headrace.compile.tiles import TILE
from headrace.declare.declaration import View
from headrace.declare.types import ColumnType
from headrace.declare.window import Family
from headrace.errors import FeatureError, StoreUnavailable
from headrace.features.contract import TileRange
from headrace.features.partials import Partial
from headrace.features.redis import RedisStore
from headrace.log.batches import Batch, Framed, Positions, Record
from headrace.log.consumer import Consumer
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog

Start = Callable[..., Any]
TILES = pa.schema([("view", pa.string()), ("epoch", pa.string()), *TILE])
CHANGES = pa.schema(
    [
        *(("days", pa.int64()), ("_key", pa.string()), ("_deleted", pa.bool_())),
        *(("_arrival", pa.int64()), ("_valid", pa.int64())),
    ]
)
HOP = 60_000
PLACE = ("p.tiles", 0)
KEYS = ("a", "b|c", "ü")


def view(family: Family = "total") -> View:
    return View(f"v_{family}", "sale", ("sku",), HOP, family, None, ColumnType("int"))


VIEWS = [view("total"), view("ends")]


def tile(of: View, key: str, hop: int, n: int, number: int) -> dict[str, Any]:
    found = {"view": of.id, "epoch": "live", "key": key, "hop": hop, "newest": hop + 1, "n": n, "a_int": number}
    ids = {"a_id": f"/00000/{number:020}", "b_id": f"/00000/{number:020}"}
    return found | ({"b_int": n, "a_at": hop, "b_at": hop, **ids} if of.family == "ends" else {})


@dataclass(frozen=True)
class Step:
    """One block of the log: tiles, and versions of attributes."""

    tiles: pa.Table
    changes: pa.Table


def steps(seed: int, count: int) -> list[Step]:
    """Blocks of random tiles, many of them replacing others; the first lists the epoch."""
    random = Random(seed)
    found = []
    for number in range(count):
        rows = [
            tile(
                random.choice(VIEWS),
                random.choice(KEYS),
                HOP * random.randrange(40),
                random.randrange(1, 5),
                number,
            )
            for _ in range(random.randrange(1, 20))
        ]
        if number == 0:
            rows += [{"view": of.id, "epoch": "live"} for of in VIEWS]
        change = {
            "days": number,
            "_key": random.choice(KEYS),
            "_deleted": False,
            "_arrival": number,
            "_valid": number,
        }
        found.append(Step(pa.Table.from_pylist(rows, TILES), pa.Table.from_pylist([change], CHANGES)))
    return found


def apply(store: RedisStore, step: Step, offset: int) -> None:
    store.apply(step.tiles, {"supplier": step.changes}, {PLACE: offset}, offset)


def contents(store: RedisStore) -> Any:
    """All that can be read: of each view and key the tiles from each hop on, attributes and the mark."""
    ranges = {(of.id, key, hop): TileRange(of, key, hop * HOP) for of in VIEWS for key in KEYS for hop in range(41)}
    found = store.read(list(ranges.values()), [("supplier", key) for key in KEYS], 10**9)
    return dict(zip(ranges, found.partials, strict=True)), found.rows, found.newest, found.mark


def tile_of(store: RedisStore, key: str = "a") -> Partial | None:
    return store.read([TileRange(VIEWS[0], key, 0)], [], 10**9).partials[0]


def url(server: Any, prefix: str = "hr:") -> str:
    return f"redis:{server.address}/0?prefix={prefix}"


@dataclass
class Blocks:
    """A sink of a topic whose record n stands for step n."""

    store: RedisStore
    steps: Sequence[Step]

    def position(self) -> Positions:
        return self.store.position()

    def mark(self) -> int | None:
        return None

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        numbers = [number for batch in batches for number in range(batch.offset, batch.end)]
        tiles = pa.concat_tables([self.steps[number].tiles for number in numbers])
        changes = pa.concat_tables([self.steps[number].changes for number in numbers])
        self.store.apply(tiles, {"supplier": changes}, positions, positions[PLACE])


def begun(log: SqliteLog, count: int) -> None:
    log.create(Topic(PLACE[0], "tile", 1))
    writer = log.writer("tile")
    for _ in range(count):
        with writer.transaction() as transaction:
            transaction.append(PLACE[0], 0, Framed.of([Record(None, b"x")], 0))
    writer.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_a_kill_loses_takes_its_position_with_it_and_is_read_again(
    redis_server: Start, tmp_path: Path, seed: int
) -> None:
    random, blocks = Random(seed), steps(seed, 60)
    server, calm = redis_server(), redis_server()
    log = SqliteLog(tmp_path / "log")
    begun(log, len(blocks))
    store = RedisStore(url(server))
    consumer = Consumer(log, [PLACE[0]], Blocks(store, blocks), limit=3)
    lost = 0
    for kill in range(6):
        for _ in range(random.randrange(1, 5)):
            consumer.step()
        before = store.position()[PLACE]
        server.kill()
        server.lose(random.randrange(0, 6_000))
        server.start()
        again, reference = RedisStore(url(server)), RedisStore(url(calm, f"{kill}:"))
        reached = again.position().get(PLACE, 0)
        for number in range(reached):
            apply(reference, blocks[number], number + 1)
        assert contents(again) == contents(reference)
        assert (again.position(), again.mark()) == (reference.position(), reference.mark())
        lost += before - reached
        if reached < before:
            with pytest.raises(StoreUnavailable, match="not as this writer left it"):
                consumer.step()
        again.close()
        reference.close()
    assert lost
    while consumer.step():
        pass
    whole = RedisStore(url(calm, "whole:"))
    for number, step in enumerate(blocks):
        apply(whole, step, number + 1)
    assert contents(store) == contents(whole)
    assert store.position() == {PLACE: len(blocks)}
    store.close()
    whole.close()
    log.close()


def test_a_store_that_is_away_says_so_and_is_used_again_when_it_is_back(redis_server: Start) -> None:
    server, [first, second] = redis_server(), steps(1, 2)
    store = RedisStore(url(server))
    apply(store, first, 1)
    seen = contents(store)
    server.kill()
    for call in (lambda: contents(store), store.position, store.mark, lambda: apply(store, second, 2)):
        with pytest.raises(StoreUnavailable, match=rf"redis:127\.0\.0\.1:{server.port}/0: it does not answer"):
            call()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        RedisStore(url(server))
    server.start()
    assert contents(store) == seen
    apply(store, second, 2)
    assert store.position() == {PLACE: 2}
    store.close()


def test_a_second_writer_is_noticed(redis_server: Start) -> None:
    server, [first, second, third] = redis_server(), steps(1, 3)
    store, other = RedisStore(url(server)), RedisStore(url(server))
    apply(store, first, 1)
    apply(other, second, 2)
    with pytest.raises(StoreUnavailable, match="another role writes to it"):
        apply(store, third, 3)
    assert other.position() == store.position() == {PLACE: 2}
    apply(store, third, 3)
    store.close()
    other.close()


def test_full_memory_refuses_all_of_an_apply_and_reads_go_on(redis_server: Start) -> None:
    server = redis_server("--maxmemory", "3mb")
    store = RedisStore(url(server))
    apply(store, steps(1, 1)[0], 0)
    reached: list[int] = []

    def fill() -> None:
        for offset in range(1, 1_000):
            rows = [tile(VIEWS[0], f"{offset} {n}", 0, 1, n) for n in range(500)]
            store.apply(pa.Table.from_pylist(rows, TILES), {}, {PLACE: offset}, offset)
            reached.append(offset)

    with pytest.raises(StoreUnavailable, match=r"its memory is full.*raise its maxmemory"):
        fill()
    offset = reached[-1] + 1
    assert store.position() == {PLACE: offset - 1}
    assert (tile_of(store, f"{offset - 1} 499"), tile_of(store, f"{offset} 0")) == (Partial(1, 499), Partial(0))
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory", "0")
    store.apply(pa.Table.from_pylist([tile(VIEWS[0], "late", 0, 1, 5)], TILES), {}, {PLACE: offset}, None)
    assert tile_of(store, "late") == Partial(1, 5)
    store.close()


def test_a_server_that_may_drop_tiles_is_refused(redis_server: Start) -> None:
    server = redis_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(FeatureError, match="set maxmemory-policy noeviction"):
        RedisStore(url(server))


def test_a_login_is_taken_from_the_url_and_a_refusal_names_what_to_do(redis_server: Start) -> None:
    server = redis_server("--requirepass", "secret")
    for login in ("", "default:wrong@"):
        with pytest.raises(FeatureError, match=r"give the user and password .* in the URL") as refused:
            RedisStore(f"redis:{login}{server.address}/0")
        assert not isinstance(refused.value, StoreUnavailable)
        assert "wrong" not in refused.value.subject
    store = RedisStore(f"redis:default:secret@{server.address}/0")
    apply(store, steps(1, 1)[0], 1)
    store.close()
    with redis.Redis(port=server.port, password="secret") as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+r"], keys=["*"], categories=["+@read", "+@connection"]
        )
    reader = RedisStore(f"redis:reader:r@{server.address}/0")
    with pytest.raises(FeatureError, match=r"it refuses a command.*\+@scripting"):
        tile_of(reader)
    reader.close()


def test_a_store_of_another_format_is_refused(redis_server: Start) -> None:
    server = redis_server()
    store = RedisStore(url(server))
    apply(store, steps(1, 1)[0], 1)
    store.close()
    with redis.Redis(port=server.port) as client:
        client.hset("hr:m", "format", "2")
    with pytest.raises(FeatureError, match=r"another Headrace made it \(format 2, and this one reads 1\)"):
        RedisStore(url(server))


@pytest.mark.parametrize(
    "bad",
    ["redis:/0", "redis:host:6379/one", "redis:host/0?prefix=*:", "redis:host/0?prefix=a:b:", "redis:host:x/0"],
)
def test_a_url_that_names_no_store_is_refused(bad: str) -> None:
    with pytest.raises(FeatureError, match="write redis:host:port/db"):
        RedisStore(bad)


def test_stores_beside_each_other_do_not_see_or_expire_each_others_tiles(redis_server: Start) -> None:
    server = redis_server()
    one, other = RedisStore(url(server, "t:")), RedisStore(url(server, "t1:"))
    rows = [tile(VIEWS[0], str(n), HOP * (n % 2), 1, n) for n in range(3_000)]
    for store in (one, other):
        store.apply(pa.Table.from_pylist([*rows, {"view": VIEWS[0].id, "epoch": "live"}], TILES), {}, {}, None)
    assert one.expire({VIEWS[0].id: HOP}) == 1_500
    assert (tile_of(one, "0"), tile_of(one, "1"), tile_of(other, "0")) == (Partial(0), Partial(1, 1), Partial(1, 0))
    with redis.Redis(port=server.port) as client:
        assert (client.exists("t:t1:0"), client.exists("t:t1:1")) == (0, 1)
    one.close()
    other.close()
