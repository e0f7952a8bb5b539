from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.compile.tiles import TILE, events_sql, merge_sql, record_tiles_sql, tiles_sql
from headrace.errors import RoleError
from headrace.stream.deadletters import replay

DAY = 86_400_000
OFFSETS = (0.0, 1e9)

events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b|\\", "ü"]),
        st.sampled_from(["x", "y", "é"]),
        st.integers(0, 2**40),
        st.one_of(st.none(), st.floats(-1e3, 1e3)),
        st.integers(10_000, 13_999),
        st.integers(0, 4_000),
    ),
    min_size=1,
    max_size=40,
)


def text(*values: Any) -> str:
    return "|".join(str(value).replace("\\", "\\\\").replace("|", "\\|") for value in values)


def naive(view: Any, records: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """Tiles by their definition, record by record."""
    groups = defaultdict(list)
    for record in records:
        hop = record["_time"] // view.hop * view.hop
        groups[text(*(record[name] for name in view.by)), hop].append(record)
    found = {}
    for place, group in groups.items():
        column = None if view.expression is None else view.id.partition("_")[2]
        values = []
        for record in group:
            value = 1 if column is None else record[column]
            if value is not None and not (isinstance(value, float) and math.isnan(value)):
                id_ = f"/{record['_partition']:05}/{record['_offset']:020}"
                values.append(((record["_time"], id_), value))
        tile: dict[str, Any] = dict.fromkeys(TILE.names[4:])
        tile |= {"newest": max(record["_time"] for record in group), "n": len(values)}
        slot = {"float": "float", "str": "text"}.get(view.type.kind, "int")
        plain = [value for _, value in values]
        if view.family == "total":
            tile[f"a_{slot}"] = float(sum(map(Fraction, plain))) if slot == "float" else sum(plain)
        elif values and view.family == "extremes":
            tile |= {f"a_{slot}": min(plain), f"b_{slot}": max(plain)}
        elif values and view.family == "moments":
            mean = Fraction(sum(map(Fraction, plain)), len(plain))
            tile |= {"a_float": float(mean), "b_float": float(sum((Fraction(v) - mean) ** 2 for v in plain))}
        elif values and view.family == "ends":
            first, last = min(values), max(values)
            tile |= {f"a_{slot}": first[1], "a_at": first[0][0], "a_id": first[0][1]}
            tile |= {f"b_{slot}": last[1], "b_at": last[0][0], "b_id": last[0][1]}
        found[place] = tile
    return found


def compare(shop: Any, view: Any, epochs: set[str] | None = None) -> None:
    records = shop.enriched()
    want = naive(view, records)
    got = {
        (key, hop): tile
        for (view_id, key, hop, epoch), tile in shop.last_tiles().items()
        if view_id == view.id and (epochs is None or epoch in epochs)
    }
    assert got.keys() == want.keys()
    scale = max((max(abs(r["price"]), r["units"]) for r in records), default=0.0)
    for place, tile in want.items():
        for name, value in tile.items():
            if isinstance(value, float):
                magnitude = scale * scale if name == "b_float" and view.family == "moments" else scale
                assert got[place][name] == pytest.approx(value, rel=1e-9, abs=1e-12 * magnitude * len(records))
            else:
                assert got[place][name] == value, (view.id, place, name)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=events,
    offset=st.sampled_from(OFFSETS),
    cuts=st.lists(st.integers(3, 20), min_size=1, max_size=4),
    restart=st.booleans(),
)
def test_tiles_are_those_of_the_definition_whatever_the_batches(
    open_shop: Callable[..., Any], rows: list[Any], offset: float, cuts: list[int], restart: bool
) -> None:
    shop = open_shop()
    enricher, tiler = shop.enricher(), shop.tiler(limit=cuts[0])
    begin = 0
    while begin < len(rows):
        size = cuts[begin % len(cuts)]
        batch = rows[begin : begin + size]
        shop.send(
            *((*row[:3], None if row[3] is None else row[3] + offset, row[4], row[4] + row[5]) for row in batch)
        )
        shop.drain(enricher, tiler)
        if restart and begin == 0:
            shop.stop(tiler)
            tiler = shop.tiler()
        begin += size
    assert {letter.reason for letter in shop.dead()} <= {"check:scaled", "check:price"}
    for view in shop.views.values():
        compare(shop, view)
    shop.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=events, cut=st.integers(0, 40), offset=st.sampled_from(OFFSETS))
def test_the_ways_to_a_tile_agree(shop: Any, rows: list[Any], cut: int, offset: float) -> None:
    records = pa.table(
        {
            "sku": [row[0] for row in rows],
            "region": pa.array([None if row[1] == "x" else row[1] for row in rows], pa.string()),
            "store": [row[1] for row in rows],
            "units": [row[2] for row in rows],
            "gain": pa.array([None if row[3] is None else row[3] + offset for row in rows], pa.float64()),
            "_time": [row[4] for row in rows],
            "_arrival": [row[4] + row[5] for row in rows],
            "_file": pa.array([None, "0123456789abcdef"] * len(rows), pa.string())[: len(rows)],
            "_partition": [place % 3 for place in range(len(rows))],
            "_offset": range(len(rows)),
        }
    )
    with duckdb.connect() as connection:
        for name, part in (("whole", records), ("left_", records.slice(0, cut)), ("right_", records.slice(cut))):
            connection.register(name, part)
        for view in shop.views.values():
            tiles = {name: tiles_sql(view, events_sql(view, name)) for name in ("whole", "left_", "right_")}
            whole = connection.sql(f"{tiles['whole']} ORDER BY key, hop").fetchall()
            grouped = connection.sql(f"{record_tiles_sql(view, 'whole')} ORDER BY key, hop").fetchall()
            merged = merge_sql(view, f"({tiles['left_']})", f"({tiles['right_']})")
            rest = f"SELECT l.* FROM ({tiles['left_']}) l ANTI JOIN ({tiles['right_']}) r USING (key, hop)"
            parts = connection.sql(f"FROM ({merged} UNION ALL {rest}) ORDER BY key, hop").fetchall()
            for want, *others in zip(whole, grouped, parts, strict=True):
                for place, value in enumerate(want):
                    for other in others:
                        if isinstance(value, float):
                            scale = max(abs(offset), 2.0**40 if view.id.endswith("units") else 1e3) * len(rows)
                            scale = scale * scale if view.family == "moments" and place == 7 else scale
                            assert other[place] == pytest.approx(value, rel=1e-9, abs=1e-12 * scale)
                        else:
                            assert other[place] == value


def test_a_new_project_lists_its_epoch_at_once(shop: Any) -> None:
    shop.drain(shop.enricher(), shop.tiler())
    assert shop.listed() == {(view_id, "live-0") for view_id in shop.views}


def test_a_view_added_later_has_its_history_and_leaves_the_others_alone(shop: Any) -> None:
    added = shop.views.pop("extremes_units")
    shop.send(("a", "x", 3, 1.0, 10_100, 10_100), ("b", "x", 9, 1.0, 10_200, 10_200))
    tiler = shop.tiler()
    enricher = shop.enricher()
    shop.drain(enricher, tiler)
    shop.stop(tiler)
    before = shop.tiles()

    asked = []
    archive: list[pa.Table] = []

    def history(view: Any, vector: Any) -> pa.Table | None:
        asked.append((view.id, sum(vector.values())))
        return archive[0] if archive else None

    shop.views["extremes_units"] = added
    tiler = shop.tiler(history)
    shop.drain(tiler)
    shop.send(("a", "x", 5, 1.0, 10_300, 10_300))
    shop.drain(enricher, tiler)
    after = shop.tiles()
    assert after[: len(before)] == before
    assert {(t["view"], t["key"]) for t in after[len(before) :] if t["view"] == "extremes_units"} == {
        ("extremes_units", "a|X")
    }
    assert not any(view == "extremes_units" for view, _ in shop.listed())

    old = naive(added, [r for r in shop.enriched() if r["units"] != 5])
    rows = [{"key": key, "hop": hop, **tile} for (key, hop), tile in old.items()]
    archive.append(pa.Table.from_pylist(rows, TILE))
    shop.drain(tiler)
    tiler.step()
    epochs = {epoch for view, epoch in shop.listed() if view == "extremes_units"}
    assert {epoch.partition("-")[0] for epoch in epochs} == {"live", "history"}
    assert set(asked) == {("extremes_units", 2)}
    found = {
        (epoch.partition("-")[0], key): (t["a_int"], t["b_int"])
        for (view, key, _, epoch), t in shop.last_tiles().items()
        if view == "extremes_units"
    }
    assert found == {("history", "a|X"): (3, 3), ("history", "b|X"): (9, 9), ("live", "a|X"): (5, 5)}
    assert [t for t in shop.tiles() if t["view"] != "extremes_units"][: len(before)] == before


def test_a_view_that_was_away_for_a_while_misses_nothing(shop: Any) -> None:
    enricher, tiler = shop.enricher(), shop.tiler()
    away = {name: view for name, view in shop.views.items() if name in ("total_units", "ends_gain")}
    stay = {name: view for name, view in shop.views.items() if name not in away}

    def restart(views: dict[str, Any]) -> Any:
        shop.stop(tiler)
        shop.views = views
        return shop.tiler()

    at = 10_000
    for views in (stay, stay, {**stay, **away}, {**stay, **away}):
        shop.send(*((f"k{n}", "x", n, 1.0, at + n, at + n) for n in range(9)))
        shop.producer.mark(at + 20)
        shop.drain(enricher, tiler)
        tiler = restart(views)
        at += 300
    shop.drain(enricher, tiler)
    for view in shop.views.values():
        compare(shop, view)


def test_a_repaired_record_after_its_hop_was_let_go_adds_to_its_tile(shop: Any) -> None:
    shop.send(("a", "x", 3, 1.0, 10_100, 10_100), ("a", "x", -1, 2.0, 10_200, 10_200))
    enricher, tiler = shop.enricher(), shop.tiler()
    shop.drain(enricher, tiler)
    shop.send(("a", "x", 1, 1.0, 5 * DAY, 5 * DAY))
    shop.drain(enricher, tiler)
    shop.now = 5 * DAY + 1
    assert replay(shop.producer, shop.dead(), lambda letter: {**letter.value, "units": 4}) == 1
    shop.drain(enricher, tiler)
    for view in shop.views.values():
        compare(shop, view)
    shop.stop(tiler)
    shop.send(("a", "x", 1, 1.0, 5 * DAY + 1, 5 * DAY + 1))
    shop.drain(enricher, shop.tiler())
    for view in shop.views.values():
        compare(shop, view)


def test_state_is_bounded(shop: Any) -> None:
    enricher, tiler = shop.enricher(), shop.tiler(limit=1)
    for day in range(6):
        shop.send(*((f"k{n}", "x", 1, 1.0, day * DAY + n, day * DAY + n) for n in range(5)))
        shop.drain(enricher, tiler)
    tiles = tiler._open["count"]
    assert 0 < tiles.held().num_rows < 20
    assert tiles.since > 2 * DAY


def test_an_overflowing_sum_is_an_error(shop: Any) -> None:
    shop.send(*(("a", "x", 9 * 10**12, 1.0, 10_000, 10_000) for _ in range(2)))
    record = shop.views["total_units"].expression
    shop.views = {"total_units": shop.views["total_units"]}
    object.__setattr__(shop.views["total_units"], "expression", record * 1_000_000)
    shop.drain(shop.enricher())
    told = r"view total_units: the sum of key 'a\|X' in the hop from 1970-01-01T00:00:10Z on .*cast\('float64"
    with pytest.raises(RoleError, match=told):
        shop.tiler().step()


def test_a_sum_that_overflows_with_what_was_there_tells_where(shop: Any) -> None:
    shop.views = {"total_units": shop.views["total_units"]}
    record = shop.views["total_units"].expression
    object.__setattr__(shop.views["total_units"], "expression", record * 1_000_000)
    shop.send(("a", "x", 9 * 10**12, 1.0, 10_000, 10_000), ("b", "x", 9 * 10**12, 1.0, 10_000, 10_000))
    enricher, tiler = shop.enricher(), shop.tiler()
    shop.drain(enricher, tiler)
    shop.send(("a", "x", 1, 1.0, 10_000, 10_000), ("b", "x", 9 * 10**12, 1.0, 10_000, 10_000))
    shop.drain(enricher)
    for _ in range(2):  # it is an error each time: nothing is passed over
        with pytest.raises(RoleError, match=r"the sum of key 'b\|X' in the hop from 1970-01-01T00:00:10Z on"):
            tiler.step()


def test_an_expression_that_overflows_tells_where(shop: Any) -> None:
    shop.views = {name: shop.views[name] for name in ("total_units", "ends_units")}
    for view in shop.views.values():
        object.__setattr__(view, "expression", view.expression * 10**12)
    rows = [(f"k{n}", "x", n, 1.0, 75_000 + n, 80_000) for n in range(20)]
    shop.send(*rows, ("k61", "x", 10**7, 1.0, 76_500, 80_000), *rows)
    shop.drain(shop.enricher())
    with pytest.raises(RoleError, match=r"the expression of key 'k61\|X' in the hop from 1970-01-01T00:01:16Z on"):
        shop.tiler().step()


def test_a_mark_is_passed_when_every_partition_has_it(shop: Any) -> None:
    enricher, tiler = shop.enricher(), shop.tiler()
    shop.send(("a", "x", 1, 1.0, 10_000, 10_000))
    shop.producer.mark(11_000)
    shop.send(("a", "x", 1, 1.0, 11_500, 11_500))
    shop.drain(enricher, tiler)
    assert shop.log.committed("tile").mark == 11_000
    topic = shop.topics.tiles
    batches = shop.log.read(topic, 0, 0, 10**6)
    marks = [place for place, batch in enumerate(batches) if type(batch.content).__name__ == "Mark"]
    assert len(marks) == 1
    assert 0 < marks[0] < len(batches) - 1
