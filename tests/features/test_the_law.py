"""The law: what is served at t is what is trained on at t is what plain Python counts from the raw events.

Reads are interleaved with arrivals: at each t the store has applied exactly what arrived before t, in random
batches, by the tiler's own aggregation and merge. Training sees all events, those that arrive later too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise, permutations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.compile.tiles import TILE, events_sql, slot, tiles_sql
from headrace.declare.declaration import WindowFeature
from headrace.declare.keys import key_text
from headrace.declare.load import read_project
from headrace.errors import FeatureError
from headrace.features.contract import OnlineStore, TileRange
from headrace.features.partials import EMPTY, Partial, merge, value
from headrace.features.point_in_time import as_if_on_time, window_values
from headrace.features.redis import RedisStore
from headrace.features.sqlite import SqliteStore
from headrace.features.vector import Vectors, vectors

LAW = read_project(Path(__file__).parent.parent / "projects" / "law.py")
WINDOWS = list(LAW.windows.values())
BASE = 1_700_000_000_000
CUT = BASE + 300_000
EPS = 2.0**-52
TILES = pa.schema([("view", pa.string()), ("epoch", pa.string()), *TILE])
Seen = Callable[[pa.Table], pa.Table]
FILE = "0123456789abcdef"


@dataclass(frozen=True)
class Raw:
    """An event as it came; what a clock ahead of the log's says counts as its arrival."""

    k: str | None
    g: int | None
    i: int | None
    f: float | None
    s: str | None
    b: bool | None
    clock: int
    arrival: int
    partition: int = 0
    offset: int = 0
    file: str | None = None

    @property
    def at(self) -> int:
        return min(self.clock, self.arrival)

    @property
    def id(self) -> tuple[str, int, int]:
        return self.file or "", self.partition, self.offset


SCHEMA = pa.schema(
    [
        *(pa.field(name, kind.arrow) for name, kind in LAW.streams["event"].columns.items()),
        *(pa.field(name, pa.int64()) for name in ("_time", "_arrival", "_partition", "_offset")),
        pa.field("_file", pa.string()),
    ]
)


def enriched(events: Sequence[Raw]) -> pa.Table:
    rows = [
        {
            **{name: getattr(event, name) for name in ("k", "g", "i", "f", "s", "b")},
            "at": event.clock,
            "_time": event.at,
            "_arrival": event.arrival,
            "_partition": event.partition,
            "_offset": event.offset,
            "_file": event.file,
        }
        for event in events
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


class Served:
    """The live side: batches of arrivals, tiled by the engine's SQL, into a store, one after the other.

    All batches are tiled in one query (the batch is a part of the key), and made absolute by merging one after the
    other. past: history, an epoch of its own that is listed after its last tile.
    """

    def __init__(self, store: OnlineStore, batches: Sequence[Sequence[Raw]], past: Sequence[Raw] = ()) -> None:
        self.store = store
        self._held: dict[tuple[str, str, str, int], tuple[int, Partial]] = {}
        tiles = _tiled([past, *batches])
        self._batches = iter(tiles[1:])
        self._apply([self._absolute("past", tile) for tile in tiles[0]])
        for epoch in ("past", "live"):
            self._apply([{"view": view, "epoch": epoch} for view in LAW.views])

    def arrive(self) -> None:
        """The next batch arrives."""
        self._apply([self._absolute("live", tile) for tile in next(self._batches)])

    def _absolute(self, epoch: str, tile: dict[str, Any]) -> dict[str, Any]:
        view = LAW.views[tile["view"]]
        a, b = f"a_{slot(view)}", f"b_{slot(view)}"
        ends = {name: tile[name] for name in ("a_at", "a_id", "b_at", "b_id")}
        place = view.id, epoch, tile["key"], tile["hop"]
        newest, held = self._held.get(place, (0, EMPTY))
        newest = max(newest, tile["newest"])
        partial = merge(view.family, [held, Partial(tile["n"], tile[a], tile[b], **ends)])
        self._held[place] = newest, partial
        ends = {name: getattr(partial, name) for name in ends}
        return {**tile, "epoch": epoch, "newest": newest, "n": partial.n, a: partial.a, b: partial.b, **ends}

    def _apply(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.store.apply(pa.Table.from_pylist(rows, TILES), {}, {}, None)

    def close(self) -> None:
        self.store.close()

    def values(self, t: int, key: dict[str, Any]) -> dict[str, Any]:
        ranges = [TileRange(w.view, text_of(w, key), (t - w.size) // w.view.hop * w.view.hop) for w in WINDOWS]
        reading = self.store.read(ranges, [], t)
        assert reading.newest is None or reading.newest < t
        return {w.name: value(w, partial) for w, partial in zip(WINDOWS, reading.partials, strict=True)}


def _tiled(batches: Sequence[Sequence[Raw]]) -> list[list[dict[str, Any]]]:
    """The tiles of each batch alone."""
    marked = [replace(e, k=None if e.k is None else f"{n}~{e.k}") for n, batch in enumerate(batches) for e in batch]
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.register("records", enriched(marked))
        queries = [
            f"SELECT '{view.id}' AS view, * FROM ({tiles_sql(view, events_sql(view, 'records'))})"
            for view in LAW.views.values()
        ]
        rows = connection.sql(" UNION ALL ".join(queries)).to_arrow_table().to_pylist()
    found: list[list[dict[str, Any]]] = [[] for _ in batches]
    for row in rows:
        batch, _, key = row["key"].partition("~")
        found[int(batch)].append({**row, "key": key})
    return found


def text_of(window: WindowFeature, key: dict[str, Any]) -> str:
    text = key_text([key[name] for name in window.view.by])
    assert text is not None
    return text


def trained(
    events: Sequence[Raw], rows: Sequence[tuple[int, dict[str, Any]]], seen: Seen = lambda events: events
) -> list[dict[str, Any]]:
    keys = {w.view.id: [text_of(w, key) for _, key in rows] for w in WINDOWS}
    times = np.array([t for t, _ in rows], np.int64)
    found = window_values(seen(enriched(events)), WINDOWS, keys, times)
    columns = {}
    for window in WINDOWS:
        column = found[window.name]
        assert column.type == window.type.arrow
        columns[window.name] = (
            column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        ).to_pylist()
    return [{name: column[row] for name, column in columns.items()} for row in range(len(rows))]


def naive(window: WindowFeature, events: Sequence[Raw], t: int, key: dict[str, Any]) -> tuple[Any, float]:
    """The value in exact arithmetic, and how far a float may be from it."""
    by, hop = window.view.by, window.view.hop
    keyed = [e for e in events if e.arrival < t and all(getattr(e, name) is not None for name in by)]
    if not keyed:
        return None, 0
    since = (t - window.size) // hop * hop
    inside = [e for e in keyed if since <= e.at < t and all(getattr(e, name) == key[name] for name in by)]
    inside.sort(key=lambda e: (e.at, e.id))
    if window.aggregate == "count":
        return len(inside), 0
    column = window.name.rsplit("_", 1)[1]
    values = [e.clock if column == "at" else getattr(e, column) for e in inside]
    values = [found for found in values if found is not None and found == found]
    zero = 0.0 if window.type.kind == "float" else 0
    if not values:
        return (zero if window.aggregate in ("sum", "rate") else None), 0
    match window.aggregate:
        case "min":
            return min(values), 0
        case "max":
            return max(values), 0
        case "first":
            return values[0], 0
        case "last":
            return values[-1], 0
    exact = [Fraction(found) for found in values]
    total, size = sum(exact), float(sum(map(abs, exact)))
    match window.aggregate:
        case "sum":
            return (int(total), 0) if window.type.kind == "int" else (float(total), 1e-9 * size)
        case "rate":
            assert window.per is not None
            return float(total * window.per / window.size), 1e-9 * size
        case "mean":
            return float(total / len(exact)), 1e-9 * size / len(exact)
    mean = total / len(exact)
    variance = float(sum((found - mean) ** 2 for found in exact) / len(exact))
    spread, lost = math.sqrt(variance), 8 * EPS * max(abs(float(found)) for found in exact)
    # Merging (n, mean, M2) loses the rounding of the mean times the spread; a sum of squares would lose its square.
    variance_lost = 1e-9 * variance + 2 * lost * spread + lost * lost
    if window.aggregate == "variance":
        return variance, variance_lost
    return spread, 1e-9 * spread + 2 * lost


def agree(found: Any, wanted: Any, tolerance: float, where: str) -> None:
    if wanted is None or found is None or tolerance == 0:
        assert found == wanted, where
        assert type(found) is type(wanted), where
    else:
        assert isinstance(found, float), where
        assert abs(found - wanted) <= tolerance, (where, found, wanted, tolerance)


def offsets() -> st.SearchStrategy[int]:
    edges = [0, 1, 9_999, 10_000, 10_001, 59_999, 60_000, 60_001, 299_999, 300_000]
    return st.one_of(st.sampled_from(edges), st.integers(0, 900_000))


@st.composite
def streams(draw: st.DrawFn) -> list[Raw]:
    """Events in the order of arrival: simultaneous, out of order, late, with clocks ahead, doubled; and history."""
    around = draw(st.sampled_from([0, 2**53, -(2**53), 2**56, -(2**56)]))
    whole = st.integers(-1_000, 1_000).map(lambda found: around + found)
    offset = draw(st.sampled_from([0.0, 1e9, -1e9]))
    real = st.floats(-100, 100).map(lambda found: offset + round(found, 9))  # squares must not underflow
    event = st.builds(
        Raw,
        k=st.sampled_from(["a", "b|", "\\ü", None]),
        g=st.sampled_from([0, 7, -3, None]),
        i=st.none() | whole,
        f=st.none() | real | st.just(math.nan),
        s=st.none() | st.text("aé\U0001f600|\\B ", max_size=3),
        b=st.none() | st.booleans(),
        clock=offsets().map(lambda found: CUT + found),
        arrival=st.sampled_from([-60_000, -1, 0, 0, 1, 999, 10_000, 61_000, 600_000, 1_200_000]),
    )
    found = []
    for one in draw(st.lists(event, max_size=30)):
        arrived = replace(one, arrival=max(CUT, one.clock + one.arrival))
        found.append(arrived)
        match draw(st.sampled_from(["alone", "alone", "doubled", "simultaneous"])):
            case "doubled":
                found.append(arrived)
            case "simultaneous":
                other = draw(event)
                late = draw(st.sampled_from([0, 0, 5_000]))
                found.append(replace(other, k=one.k, g=one.g, clock=one.clock, arrival=arrived.arrival + late))
    found.sort(key=lambda one: one.arrival)
    counts = [0, 0]
    live = []
    for one in found:
        partition = int(one.k == "a")
        live.append(replace(one, partition=partition, offset=counts[partition]))
        counts[partition] += 1
    past = []
    for row, one in enumerate(draw(st.lists(event, max_size=8))):
        clock = BASE + (one.clock - CUT) % 300_000
        past.append(replace(one, clock=clock, arrival=clock, offset=row, file=FILE))
    return past + live


@st.composite
def reads(draw: st.DrawFn, events: Sequence[Raw]) -> list[int]:
    """Instants at which all is read: around arrivals, and around the edges of hops and windows."""
    arrivals = sorted({event.arrival for event in events if event.file is None}) or [CUT]
    near = st.builds(int.__add__, st.sampled_from(arrivals), st.sampled_from([0, 1, 2, 10_000]))
    anywhere = offsets().map(lambda found: CUT + 2 * found)
    return sorted(draw(st.lists(st.one_of(near, anywhere), min_size=1, max_size=6, unique=True)))


KEYS = [{"k": k, "g": g} for k in ("a", "b|", "\\ü", "nobody") for g in (0, 7)]
Stores = Callable[[str], OnlineStore]
BOUNDED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(params=["sqlite", "redis"], scope="session")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: Callable[[], str]
) -> Stores:
    """Makes an empty store each time."""
    if request.param == "redis":
        return lambda name: RedisStore(redis_url())
    return lambda name: SqliteStore(tmp_path_factory.mktemp(name) / "online.sqlite")


@BOUNDED
@given(data=st.data())
def test_served_is_trained_is_counted(data: st.DataObject, made: Stores) -> None:
    events = data.draw(streams(), "events")
    times = data.draw(reads(events), "times")
    size = data.draw(st.integers(1, 12), "batch")
    past, live = [e for e in events if e.file], [e for e in events if not e.file]
    arrived = [[e for e in live if since <= e.arrival < t] for since, t in pairwise([0, *times])]
    cut = [[step[n : n + size] for n in range(0, len(step), size)] for step in arrived]
    side = Served(made("law"), list(chain.from_iterable(cut)), past)
    rows, served = [], []
    for t, batches in zip(times, cut, strict=True):
        for _ in batches:
            side.arrive()
        for key in KEYS:
            rows.append((t, key))
            served.append(side.values(t, key))
    side.close()
    shuffled = data.draw(st.permutations(events), "order in the archive")
    learnt = trained(shuffled, rows)
    for (t, key), one, other in zip(rows, served, learnt, strict=True):
        for window in WINDOWS:
            wanted, tolerance = naive(window, events, t, key)
            where = f"{window.name} of {key} at {t - CUT}"
            agree(one[window.name], wanted, tolerance, f"served {where}")
            agree(other[window.name], wanted, tolerance, f"trained {where}")


@dataclass(frozen=True)
class Priced:
    """A version of the table's row of a key, dated ahead of its arrival or not. cents: None where deleted."""

    k: str
    cents: int | None
    arrival: int
    ahead: int

    @property
    def valid(self) -> int:
        return self.arrival + self.ahead


PRICES = pa.schema(
    [
        *((name, kind.arrow) for name, kind in LAW.tables["price"].columns.items()),
        *(("_key", pa.string()), ("_deleted", pa.bool_()), ("_arrival", pa.int64()), ("_valid", pa.int64())),
    ]
)


def changed(prices: Sequence[Priced]) -> pa.Table:
    rows = []
    for one in prices:
        gone = one.cents is None
        row = {"k": one.k, "cents": one.cents, "since": None if gone else one.valid}
        rows.append(
            {**row, "_key": key_text([one.k]), "_deleted": gone, "_arrival": one.arrival, "_valid": one.valid}
        )
    return pa.Table.from_pylist(rows, PRICES)


def in_force(prices: Sequence[Priced], k: str, t: int) -> int | None:
    """What plain Python says: by validity, of one validity the later one; before the first one the first."""
    versions = sorted((one for one in prices if one.k == k), key=lambda one: one.valid)
    known = [one for one in versions if one.valid < t]
    if known:
        return known[-1].cents
    first = [one for one in versions if one.valid == versions[0].valid]
    return first[-1].cents if first else None


@BOUNDED
@given(data=st.data())
def test_a_table_that_is_dated_ahead_is_served_and_trained_on_by_its_validity(
    data: st.DataObject, made: Stores
) -> None:
    later = st.sampled_from([0, 0, 1, 5_000, 60_000, 10**9])
    version = st.builds(
        Priced, st.sampled_from(["a", "b|"]), st.none() | st.integers(0, 3), offsets().map(lambda o: CUT + o), later
    )
    first = [Priced(k, 9, BASE, data.draw(st.sampled_from([0, 5_000, 60_000]), "first")) for k in ("a", "b|")]
    prices = [*first, *sorted(data.draw(st.lists(version, max_size=10), "prices"), key=lambda one: one.arrival)]
    edges = [edge for one in prices for edge in (one.arrival, one.valid)]
    near = st.builds(int.__add__, st.sampled_from(edges), st.sampled_from([0, 1, 2]))
    times = sorted(data.draw(st.lists(near.filter(lambda t: t > BASE), min_size=1, max_size=8, unique=True), "t"))
    store = made("law")
    asked: list[tuple[int, str]] = []
    served = []
    for since, t in pairwise([0, *times]):
        arrived = [one for one in prices if since <= one.arrival < t]
        size = data.draw(st.integers(1, 4), "batch")
        for n in range(0, len(arrived), size):
            store.apply(None, {"price": changed(arrived[n : n + size])}, {}, None)
        for k in ("a", "b|", "nobody"):
            [found] = Vectors(LAW, store, lambda t=t: t).serve([{"k": k, "g": 0}])
            assert found.t == t
            asked.append((t, k))
            served.append(found.values["cents"])
    store.close()
    examples = pa.table({"t": [t for t, _ in asked], "k": [k for _, k in asked], "g": [0] * len(asked)})
    learnt = vectors(LAW, examples, {"event": enriched([])}, {"price": changed(prices)}).table["cents"].to_pylist()
    wanted = [in_force(prices, k, t) for t, k in asked]
    assert served == learnt == wanted


@settings(BOUNDED, max_examples=10)
@given(data=st.data())
def test_complete_counts_by_event_time_alone(data: st.DataObject) -> None:
    events = data.draw(streams(), "events")
    rows = [(t, key) for t in data.draw(reads(events), "times") for key in KEYS]
    on_time = [replace(event, clock=event.at, arrival=event.at) for event in events]
    found = trained(events, rows, as_if_on_time)
    for (t, key), one in zip(rows, found, strict=True):
        for window in WINDOWS:
            if window.name.endswith("_at"):
                continue  # the column keeps what the producer's clock said
            wanted, tolerance = naive(window, on_time, t, key)
            agree(one[window.name], wanted, tolerance, f"{window.name} of {key} at {t - CUT}")


def event(clock: int, arrival: int | None = None, i: int | None = 1, offset: int = 0, f: float = 1.0) -> Raw:
    return Raw("a", 0, i, f, "x", True, clock, clock if arrival is None else arrival, 0, offset)


def both(tmp_path: Path, events: Sequence[Raw], t: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key a as served and as trained on, at t."""
    arrived = [[one] for one in events if one.arrival < t]
    side = Served(SqliteStore(tmp_path / "online.sqlite"), arrived)
    for _ in arrived:
        side.arrive()
    served = side.values(t, KEYS[0])
    side.close()
    return served, trained(events, [(t, KEYS[0])])[0]


def test_simultaneous_events_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    first = replace(event(CUT, i=1, offset=5), partition=0)
    middle = replace(event(CUT, CUT + 1, i=2, offset=9), partition=0)
    last = replace(event(CUT, i=3, offset=2), partition=1)
    for number, events in enumerate(permutations([first, middle, last])):
        folder = tmp_path / str(number)
        folder.mkdir()
        for found in both(folder, events, CUT + 2):
            assert (found["slow__first_i"], found["slow__last_i"]) == (1, 3)


def test_before_the_first_event_all_is_null(tmp_path: Path) -> None:
    for found in both(tmp_path, [event(CUT, CUT + 5)], CUT + 5):
        assert set(found.values()) == {None}


def test_an_empty_window_is_zero_or_null(tmp_path: Path) -> None:
    for found in both(tmp_path, [event(CUT)], CUT + 86_400_000):
        for window in WINDOWS:
            wanted = {"count": 0, "sum": 0, "rate": 0.0}.get(window.aggregate)
            assert found[window.name] == wanted, window.name


def test_the_event_that_is_scored_is_not_in_its_own_history(tmp_path: Path) -> None:
    earlier, scored = event(CUT + 1, offset=0, i=5), event(CUT + 2, offset=1, i=7)
    for found in both(tmp_path, [earlier, scored], scored.arrival):
        assert (found["fast__count"], found["fast__sum_i"], found["slow__last_i"]) == (1, 5, 5)


def test_an_event_counts_from_the_millisecond_after_it_arrived(tmp_path: Path) -> None:
    late = event(CUT + 1, CUT + 8_000)
    first = event(CUT)
    for t, count in ((CUT + 8_000, 1), (CUT + 8_001, 2)):
        folder = tmp_path / str(t)
        folder.mkdir()
        for found in both(folder, [first, late], t):
            assert found["slow__count_k"] == count


def test_a_clock_that_is_ahead_counts_as_the_arrival(tmp_path: Path) -> None:
    ahead = event(CUT + 70_000, CUT + 5)
    for found in both(tmp_path, [ahead], CUT + 6):
        assert found["fast__count"] == 1


@pytest.mark.parametrize(("sums", "fits"), [([2**62, 2**62 - 1], True), ([2**62, 2**62], False)])
def test_a_sum_that_leaves_64_bits_is_an_error_on_both_sides(tmp_path: Path, sums: list[int], fits: bool) -> None:
    events = [event(CUT + 60_000 * n, i=i, offset=n) for n, i in enumerate([*sums, -5, 5])]
    t = events[-1].arrival + 1
    if fits:
        for found in both(tmp_path, events, t):
            assert found["slow__sum_i"] == 2**63 - 1
        return
    with pytest.raises(FeatureError, match=r"slow\.sum_i.*64 bits"):
        trained(events, [(t, KEYS[0])])
    side = Served(SqliteStore(tmp_path / "online.sqlite"), [events])
    side.arrive()
    with pytest.raises(FeatureError, match=r"slow\.sum_i.*64 bits"):
        side.values(t, KEYS[0])
    side.close()


def test_a_sum_may_leave_64_bits_on_the_way(tmp_path: Path) -> None:
    events = [event(CUT + 60_000 * n, i=i, offset=n) for n, i in enumerate([2**62, 2**62, -(2**62), -(2**62) - 3])]
    for found in both(tmp_path, events, events[-1].arrival + 1):
        assert found["slow__sum_i"] == -3


def test_variance_is_accurate_far_from_zero(tmp_path: Path) -> None:
    events = [event(CUT + 7_000 * n, f=1e9 + n % 2, offset=n) for n in range(30)]
    for found in both(tmp_path, events, events[-1].arrival + 1):
        assert found["slow__stddev_f"] == pytest.approx(0.5, rel=1e-6)
