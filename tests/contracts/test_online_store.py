"""What every adapter of the online store keeps."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.compile.tiles import TILE, slot
from headrace.declare.declaration import View
from headrace.declare.types import ColumnType, Kind
from headrace.declare.window import Family
from headrace.features.contract import OnlineStore, TileRange
from headrace.features.partials import EMPTY, Partial, merge
from headrace.features.redis import RedisStore
from headrace.features.sqlite import SqliteStore

TILES = pa.schema([("view", pa.string()), ("epoch", pa.string()), *TILE])
PLACE = ("p.tiles", 0)
HOP = 60_000
NOW = 10**9


@dataclass(frozen=True)
class Adapter:
    """open: another handle of one store. code: Python that makes another process's, named `store`."""

    open: Callable[[], OnlineStore]
    code: str


def adapter_in(kind: str, folder: Path, redis_url: Callable[[], str]) -> Adapter:
    if kind == "redis":
        url = redis_url()
        imports = "from headrace.features.redis import RedisStore"
        return Adapter(lambda: RedisStore(url), f"{imports}; store = RedisStore({url!r})")
    path = folder / "online.sqlite"
    imports = "from pathlib import Path; from headrace.features.sqlite import SqliteStore"
    return Adapter(lambda: SqliteStore(path), f"{imports}; store = SqliteStore(Path({str(path)!r}))")


@pytest.fixture(params=["sqlite", "redis"], scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def adapter(kind: str, tmp_path: Path, redis_url: Callable[[], str]) -> Adapter:
    return adapter_in(kind, tmp_path, redis_url)


@pytest.fixture
def store(adapter: Adapter) -> Iterator[OnlineStore]:
    store = adapter.open()
    yield store
    store.close()


def view(family: Family = "total", kind: Kind = "int", name: str = "v") -> View:
    return View(f"{name}_{family}_{kind}", "sale", ("sku",), HOP, family, None, ColumnType(kind))


def row(
    of: View, key: str, hop: int, partial: Partial, epoch: str = "live", newest: int | None = None
) -> dict[str, Any]:
    a, b = f"a_{slot(of)}", f"b_{slot(of)}"
    order = {name: getattr(partial, name) for name in ("a_at", "a_id", "b_at", "b_id")}
    found = hop + 1 if newest is None else newest
    place = {"view": of.id, "epoch": epoch, "key": key, "hop": hop, "newest": found, "n": partial.n}
    return {**place, a: partial.a, b: partial.b, **order}


def listing(of: View, epoch: str = "live") -> dict[str, Any]:
    return {"view": of.id, "epoch": epoch}


def put(store: OnlineStore, *rows: dict[str, Any], offset: int = 1, mark: int | None = None) -> None:
    store.apply(pa.Table.from_pylist(list(rows), TILES), {}, {PLACE: offset}, mark)


def got(store: OnlineStore, of: View, key: str = "a", since: int = 0) -> Partial | None:
    return store.read([TileRange(of, key, since)], [], NOW).partials[0]


def test_a_new_store_knows_nothing(store: OnlineStore) -> None:
    assert (store.position(), store.mark()) == ({}, None)
    reading = store.read([TileRange(view(), "a", 0)], [("supplier", "a")], NOW)
    assert (reading.partials, reading.rows, reading.newest, reading.mark) == ([None], [None], None, None)
    assert reading.until is None


def test_a_range_begins_at_a_hop_and_is_of_one_key_and_view(store: OnlineStore) -> None:
    one, other = view(), view(name="w")
    tiles = [row(one, "a", HOP * n, Partial(1, 10**n)) for n in range(4)]
    put(
        store,
        listing(one),
        listing(other),
        *tiles,
        row(one, "b", HOP, Partial(1, 7)),
        row(other, "a", HOP, Partial(1, 9)),
    )
    reading = store.read([TileRange(one, "a", 2 * HOP), TileRange(one, "b", 0), TileRange(one, "c", 0)], [], NOW)
    assert reading.partials == [Partial(2, 1100), Partial(1, 7), EMPTY]
    assert reading.newest == 3 * HOP + 1


def test_a_tile_replaces_the_one_before_and_applied_twice_is_applied_once(store: OnlineStore) -> None:
    one = view()
    put(store, listing(one), row(one, "a", 0, Partial(1, 5)))
    for _ in range(2):
        put(store, row(one, "a", 0, Partial(2, 6)), row(one, "a", 0, Partial(3, 8)))
    assert got(store, one) == Partial(3, 8)


def test_only_listed_epochs_count_and_a_listing_shows_all_at_once(store: OnlineStore) -> None:
    one = view()
    put(store, row(one, "a", 0, Partial(1, 1), "past"), row(one, "a", HOP, Partial(1, 2), "past"))
    assert got(store, one) is None
    put(store, listing(one, "live"))
    assert got(store, one) is None
    put(store, row(one, "a", HOP, Partial(1, 4), "live"))
    assert got(store, one) == Partial(1, 4)
    put(store, row(one, "a", 2 * HOP, Partial(1, 16), "past"))
    assert got(store, one) == Partial(1, 4)
    put(store, listing(one, "past"))
    assert got(store, one) == Partial(4, 23)


def test_a_view_has_begun_with_its_first_listed_tile_of_any_key(store: OnlineStore) -> None:
    one = view()
    put(store, listing(one))
    assert got(store, one) is None
    put(store, row(one, "b", 0, Partial(0, 0)))
    assert got(store, one, "a") == EMPTY
    assert got(store, one, "b") == EMPTY


def test_a_listing_row_without_events_strikes_its_epoch_off_the_list(store: OnlineStore) -> None:
    one, other = view(), view(name="w")
    for of in (one, other):
        put(store, listing(of, "live"), row(of, "a", 0, Partial(1, 1)))
        put(store, listing(of, "past"), row(of, "a", 0, Partial(1, 2), "past"))
    put(store, {**listing(one, "past"), "n": 0})
    assert (got(store, one), got(store, other)) == (Partial(1, 1), Partial(2, 3))
    put(store, {**listing(one, "live"), "n": 0})
    assert got(store, one) is None
    put(store, {**listing(one, "past"), "n": 0}, listing(one, "past"))
    assert got(store, one) == Partial(1, 2)


def test_a_numbered_epoch_is_listed_and_struck_with_the_one_that_it_is_named_after(store: OnlineStore) -> None:
    one = view()
    put(store, row(one, "a", 0, Partial(1, 1), "past~2"), row(one, "a", 0, Partial(1, 2), "past~x"))
    put(store, listing(one, "past~2"), listing(one, "pas"))
    assert got(store, one) is None
    put(store, listing(one, "past"))
    assert got(store, one) == Partial(1, 1)
    put(store, row(one, "a", HOP, Partial(1, 4), "past~10"), row(one, "a", HOP, Partial(1, 8), "past"))
    assert got(store, one) == Partial(3, 13)
    put(store, {**listing(one, "past"), "n": 0})
    assert got(store, one) is None


def drawn(random: Random, of: View, hop: int) -> Partial:
    """A partial of a view; of one in three tiles without events."""
    n = random.choice([0, 1, 5])
    if n == 0:
        return Partial(0, (0.0 if of.type.kind == "float" else 0) if of.family == "total" else None)
    a, b = (random.choice([random.uniform(0, 9), 1e9 + random.random()]) for _ in range(2))
    low, high = {"float": (a, b), "str": (str(a), f"{b}é"), "int": (2**62 - int(a), int(b))}.get(
        of.type.kind, (0, 1)
    )
    match of.family:
        case "total":
            return Partial(n, low)
        case "ends":
            ids = (
                f"/{random.randrange(3):05}/{random.getrandbits(60):020}",
                f"{'ab' * 8}/00002/{random.getrandbits(60):020}",
            )
            return Partial(n, low, high, hop, ids[0], hop + 1, ids[1])
        case _:
            return Partial(n, low, high)


def test_a_dense_range_is_the_merge_of_its_tiles_whatever_their_order(store: OnlineStore) -> None:
    places = [(hop * HOP, epoch) for hop in range(200) for epoch in ("live", "past", "hidden")]
    random = Random(1)
    random.shuffle(places)
    for family, kind in FAMILIES:
        one = view(family, kind)
        tiles = {place: drawn(random, one, place[0]) for place in places}
        rows = [row(one, "a", hop, tile, epoch) for (hop, epoch), tile in tiles.items()]
        put(store, listing(one, "live"), listing(one, "past"))
        for first in range(0, len(rows), 100):
            put(store, *rows[first : first + 100])
        for since in (0, 55 * HOP, 190 * HOP, 200 * HOP):
            seen = [tile for (hop, epoch), tile in tiles.items() if hop >= since and epoch != "hidden"]
            wanted, found = merge(family, seen), got(store, one, since=since)
            assert found is not None
            if kind == "float" and family in ("moments", "total") and wanted.n:
                assert (found.n, found.a, found.b) == (
                    wanted.n,
                    pytest.approx(wanted.a, rel=1e-12),
                    None if wanted.b is None else pytest.approx(wanted.b, rel=1e-9),
                )
            else:
                assert found == wanted, (family, kind, since)


def test_expire_drops_old_tiles_of_its_views_and_a_view_that_has_begun_stays_so(store: OnlineStore) -> None:
    one, other = view(), view(name="w")
    for of in (one, other):
        put(store, listing(of), *(row(of, "a", HOP * n, Partial(1, 1)) for n in range(3)))
    assert store.expire({one.id: 2 * HOP, "no such view": HOP}) == 2
    assert (got(store, one), got(store, other)) == (Partial(1, 1), Partial(3, 3))
    assert store.expire({one.id: 9 * HOP}) == 1
    assert got(store, one) == EMPTY


def test_position_and_mark_stay_with_the_tiles(adapter: Adapter) -> None:
    one = view()
    store = adapter.open()
    put(store, listing(one), row(one, "a", 0, Partial(1, 5)), offset=7, mark=1_000)
    store.apply(None, {}, {("p.table.supplier", 2): 3}, 2_000)
    store.close()
    again = adapter.open()
    assert again.position() == {PLACE: 7, ("p.table.supplier", 2): 3}
    assert (again.mark(), again.read([], [], NOW).mark, got(again, one)) == (2_000, 2_000, Partial(1, 5))
    again.close()


def test_apply_is_all_or_nothing(store: OnlineStore) -> None:
    one = view()
    put(store, listing(one), row(one, "a", 0, Partial(1, 5)), offset=1, mark=1)
    tiles = pa.Table.from_pylist([row(one, "a", 0, Partial(2, 6)), listing(view(name="w"))], TILES)
    broken = changes({"_key": "apple", "days": 1}).drop_columns(["_valid"])
    with pytest.raises(KeyError):
        store.apply(tiles, {"supplier": broken}, {PLACE: 2}, 2)
    assert (store.position(), store.mark(), got(store, one)) == ({PLACE: 1}, 1, Partial(1, 5))
    put(store, row(one, "a", 0, Partial(3, 7)), offset=3)
    assert got(store, one) == Partial(3, 7)


def changes(*rows: dict[str, Any]) -> pa.Table:
    filled = [{"_deleted": False, "_arrival": 5, "_valid": 5, **row} for row in rows]
    schema = pa.schema(
        [
            *[("days", pa.int64()), ("name", pa.string()), ("since", pa.timestamp("ms")), ("ok", pa.bool_())],
            *[("_key", pa.string()), ("_deleted", pa.bool_()), ("_arrival", pa.int64()), ("_valid", pa.int64())],
        ]
    )
    return pa.Table.from_pylist(filled, schema)


def test_an_attribute_is_the_row_with_the_newest_validity(store: OnlineStore) -> None:
    full = {"_key": "apple", "days": 2**60, "name": "Äpfel | \U0001f34e", "since": 1_500, "ok": True, "_valid": 10}
    store.apply(None, {"supplier": changes(full, {"_key": "pear", "days": 1})}, {}, None)
    wanted = {"days": 2**60, "name": "Äpfel | \U0001f34e", "since": 1_500, "ok": True, "_valid": 10}
    places = [("supplier", "apple"), ("supplier", "fig"), ("store", "apple")]
    assert store.read([], places, NOW).rows == [wanted, None, None]
    older, same = {"_key": "apple", "days": 3, "_valid": 9}, {"_key": "pear", "days": 4}
    store.apply(None, {"supplier": changes(older, same)}, {}, None)
    rows = store.read([], [("supplier", "apple"), ("supplier", "pear")], NOW).rows
    assert [row and row["days"] for row in rows] == [2**60, 4]


def test_a_deleted_row_is_gone_and_no_older_version_comes_back(store: OnlineStore) -> None:
    place = [("supplier", "apple")]
    store.apply(None, {"supplier": changes({"_key": "apple", "days": 1})}, {}, None)
    store.apply(None, {"supplier": changes({"_key": "apple", "_deleted": True, "_valid": 8})}, {}, None)
    assert store.read([], place, NOW).rows == [None]
    store.apply(None, {"supplier": changes({"_key": "apple", "days": 2, "_valid": 7})}, {}, None)
    assert store.read([], place, NOW).rows == [None]
    store.apply(None, {"supplier": changes({"_key": "apple", "days": 3, "_valid": 9})}, {}, None)
    assert store.read([], place, NOW).rows[0] is not None


APPLE = [("supplier", "apple")]


def days(store: OnlineStore, *times: int) -> list[int | None]:
    """The attribute of one key as it is in force at some times."""
    rows = [store.read([], APPLE, t).rows[0] for t in times]
    return [None if row is None else row["days"] for row in rows]


def change(days: int | None, valid: int, arrival: int) -> dict[str, Any]:
    return {"_key": "apple", "days": days, "_deleted": days is None, "_valid": valid, "_arrival": arrival}


def test_a_version_is_in_force_after_its_validity_and_not_before(store: OnlineStore) -> None:
    ahead = [change(1, 10, 10), change(3, 90, 11), change(2, 50, 12), change(None, 70, 13)]
    store.apply(None, {"supplier": changes(*ahead)}, {}, None)
    assert days(store, 14, 50, 51, 70, 71, 90, 91, 10**6) == [1, 1, 2, 2, None, None, 3, 3]
    store.apply(None, {"supplier": changes(change(4, 50, 60))}, {}, None)
    assert days(store, 61, 71, 91) == [4, None, 3]


def test_the_first_version_stands_in_until_it_is_valid(store: OnlineStore) -> None:
    store.apply(None, {"supplier": changes(change(1, 90, 10))}, {}, None)
    assert days(store, 11, 91) == [1, 1]
    store.apply(None, {"supplier": changes(change(2, 70, 20))}, {}, None)
    assert days(store, 21, 90, 91) == [2, 2, 1]


def test_a_reading_tells_what_it_saw_and_until_when_it_holds(store: OnlineStore) -> None:
    pear = {"_key": "pear", "days": 9, "_valid": 10, "_arrival": 15}
    store.apply(None, {"supplier": changes(change(1, 10, 10), change(2, 50, 12), pear)}, {}, None)
    both = [*APPLE, ("supplier", "pear")]
    assert [(r.newest, r.until) for r in (store.read([], both, t) for t in (20, 50, 51))] == [
        (15, 50),
        (15, 50),
        (15, None),
    ]
    assert store.read([], APPLE, 20).newest == 12
    one = view()
    put(store, listing(one), row(one, "a", 0, Partial(1, 5), newest=40))
    assert store.read([TileRange(one, "a", 0)], both, 60).newest == 40


def test_versions_applied_twice_are_applied_once_and_survive_a_restart(adapter: Adapter) -> None:
    store = adapter.open()
    for _ in range(2):
        store.apply(None, {"supplier": changes(change(1, 10, 10), change(2, 50, 12))}, {}, None)
    store.close()
    again = adapter.open()
    assert days(again, 13, 51) == [1, 2]
    again.close()


def test_one_read_takes_many_ranges(store: OnlineStore) -> None:
    one, unknown = view(), view(name="w")
    put(store, listing(one), *(row(one, str(n), 0, Partial(1, n)) for n in range(1_500)))
    ranges = [TileRange(unknown if n % 5 == 0 else one, str(n), 0) for n in range(1_500)]
    found = store.read(ranges, [], NOW).partials
    assert found == [None if n % 5 == 0 else Partial(1, n) for n in range(1_500)]


def test_a_read_sees_one_instant_while_another_thread_writes(store: OnlineStore) -> None:
    one, other = view(), view(name="w")
    put(store, listing(one), listing(other), row(one, "a", 0, Partial(1, 0)), row(other, "a", 0, Partial(1, 0)))
    done = threading.Event()

    def write() -> None:
        try:
            for n in range(1, 150):
                rows = [row(one, "a", HOP * (n % 7), Partial(1, n)), row(other, "a", HOP * (n % 7), Partial(1, n))]
                put(store, *rows, offset=n, mark=n)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    marks = []
    while not done.is_set():
        reading = store.read([TileRange(one, "a", 0), TileRange(other, "a", 0)], [], NOW)
        assert reading.partials[0] == reading.partials[1]
        marks.append(reading.mark or 0)
    writer.join()
    assert marks == sorted(marks)
    assert store.read([], [], NOW).mark == 149


def test_another_process_sees_what_is_applied(adapter: Adapter, store: OnlineStore) -> None:
    one = view()
    put(store, listing(one), row(one, "a", 0, Partial(1, 5)), offset=4)
    code = f"{adapter.code}; print(store.position()); store.close()"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == str({PLACE: 4})


FAMILIES: list[tuple[Family, Kind]] = [
    ("total", "int"),
    ("total", "float"),
    ("extremes", "int"),
    ("extremes", "float"),
    ("extremes", "str"),
    ("extremes", "bool"),
    ("moments", "float"),
    ("ends", "str"),
    ("ends", "float"),
]
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "int": st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)),
    "float": st.floats(-1e6, 1e6).map(lambda found: found + 1e9),
    "str": st.text("aé\U0001f600|B", max_size=3),
    "bool": st.integers(0, 1),
}


@st.composite
def partials(draw: st.DrawFn, family: Family, kind: Kind, hop: int, epoch: str) -> Partial:
    n = draw(st.integers(0, 4))
    if n == 0:
        return Partial(0, (0.0 if kind == "float" else 0) if family == "total" else None)
    a, b = draw(VALUES[kind]), draw(VALUES[kind])
    match family:
        case "total":
            return Partial(n, a)
        case "extremes":
            return Partial(n, min(a, b), max(a, b))
        case "moments":
            return Partial(n, a, draw(st.floats(0, 1e4)))
        case "ends":
            at = [hop + draw(st.integers(0, 3)) for _ in range(2)]
            ids = [f"/0000{draw(st.integers(0, 3))}/{epoch}" for _ in range(2)]
            return Partial(n, a, b, at[0], ids[0], at[1], ids[1])


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_range_is_the_merge_of_its_tiles(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory, redis_url: Callable[[], str]
) -> None:
    family, of = data.draw(st.sampled_from(FAMILIES))
    one = view(family, of)
    hops = st.integers(0, 5).map(lambda n: n * HOP)
    places = data.draw(st.lists(st.tuples(hops, st.sampled_from(["live", "past"])), unique=True, max_size=12))
    tiles = {place: data.draw(partials(family, of, *place)) for place in places}
    since = data.draw(hops)
    store = adapter_in(kind, tmp_path_factory.mktemp("store"), redis_url).open()
    rows = [row(one, "a", hop, partial, epoch) for (hop, epoch), partial in tiles.items()]
    put(store, listing(one, "live"), listing(one, "past"), row(one, "other", 0, Partial(0)), *rows)
    found = got(store, one, since=since)
    store.close()
    wanted = merge(family, [partial for (hop, _), partial in tiles.items() if hop >= since])
    assert found is not None
    if wanted.n and (family == "moments" or (family, of) == ("total", "float")):
        assert found.n == wanted.n
        assert found.a == pytest.approx(wanted.a, rel=1e-12)
        assert family == "total" or found.b == pytest.approx(wanted.b, rel=1e-9, abs=1e-3)
    else:
        assert found == wanted
