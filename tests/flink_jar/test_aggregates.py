"""The aggregates of the jar are those of the tiles: merged in any groups and order, they give what DuckDB gives."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.compile.tiles import slot, tiles_sql
from headrace.declare.declaration import View
from headrace.declare.types import ColumnType, Kind

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9),
    "float": st.floats(-1e9, 1e9),
    "str": st.text(st.characters(codec="utf-8"), max_size=3),
}
CONNECTION = duckdb.connect()
FILES = [None, "a.csv", "b\U0001f600.csv", "b\uffff.csv"]


def tile(family: Any, kind: Kind, events: list[dict[str, Any]]) -> dict[str, Any]:
    """The one tile of some events."""
    column = ibis.table({"v": "int64"}, name="sale").v
    view = View("v", "sale", ("k",), 60_000, family, column, ColumnType(kind))
    stored = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}[kind]
    relation = pa.table({"value": pa.array([event["value"] for event in events], stored)})
    relation = relation.append_column("key", pa.array(["k"] * len(events)))
    relation = relation.append_column("hop", pa.array([0] * len(events), pa.int64()))
    for name in ("time", "partition", "offset"):
        relation = relation.append_column(f"_{name}", pa.array([event[name] for event in events], pa.int64()))
    relation = relation.append_column("_file", pa.array([event["file"] for event in events], pa.string()))
    CONNECTION.register("events", relation)
    found: dict[str, Any] = CONNECTION.sql(tiles_sql(view, "events")).to_arrow_table().to_pylist()[0]
    suffix = slot(view)
    return {"a": found[f"a_{suffix}"], "b": found[f"b_{suffix}"], **found}


def id_of(event: dict[str, Any]) -> str:
    return f"{event['file'] or ''}/{event['partition']:05}/{event['offset']:020}"


@st.composite
def events(draw: st.DrawFn, kind: str) -> list[dict[str, Any]]:
    times = st.integers(0, 3) | st.integers(0, 59_999)
    event = {
        "value": VALUES[kind] | st.none(), "time": times, "file": st.sampled_from(FILES),
        "partition": st.integers(0, 12), "offset": st.integers(0, 10**6),
    }  # fmt: skip
    return draw(st.lists(st.fixed_dictionaries(event), min_size=1, max_size=12, unique_by=id_of))


def groups(draw: Any, rows: list[Any]) -> list[list[Any]]:
    """In any order, cut into groups; some are empty."""
    rows = draw(st.permutations(rows))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


@pytest.fixture(scope="module")
def drive(program: Callable[..., Any]) -> Any:
    return program("Drive")


def merged(drive: Any, function: str, parts: list[Any]) -> Any:
    answer = drive.ask({"do": "aggregate", "function": function, "groups": parts})
    return answer["value"] if "value" in answer else answer["error"]


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_sum_is_exact_or_an_error(drive: Any, data: st.DataObject) -> None:
    rows = data.draw(events("int"))
    found = merged(drive, "Sum", groups(data.draw, [[row["value"]] for row in rows]))
    try:
        assert found == tile("total", "int", rows)["a"]
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        assert found == "ArithmeticException"


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_sums_and_moments_of_floats_are_the_same(drive: Any, data: st.DataObject) -> None:
    rows = data.draw(events("float"))
    parts = groups(data.draw, [[row["value"]] for row in rows])
    most = max([abs(row["value"]) for row in rows if row["value"] is not None], default=0.0)
    total, moments = tile("total", "float", rows), tile("moments", "float", rows)
    assert merged(drive, "RealSum", parts) == pytest.approx(total["a"], rel=1e-12, abs=1e-14 * most)
    n, mean, m2 = merged(drive, "Moments", parts)
    assert n == moments["n"]
    assert mean == (None if n == 0 else pytest.approx(moments["a"], rel=1e-12, abs=1e-14 * most))
    assert m2 == (None if n == 0 else pytest.approx(moments["b"], rel=1e-9, abs=1e-14 * most * most))


@given(data=st.data(), kind=st.sampled_from(["int", "float", "str"]))
@settings(max_examples=40, deadline=None)
def test_first_and_last_are_by_time_and_id(drive: Any, data: st.DataObject, kind: Any) -> None:
    rows = data.draw(events(kind))
    parts = groups(data.draw, [[row["value"], row["time"], id_of(row)] for row in rows])
    found = tile("ends", kind, rows)
    assert merged(drive, "End$First", parts) == [found["a"], found["a_at"], found["a_id"]]
    assert merged(drive, "End$Last", parts) == [found["b"], found["b_at"], found["b_id"]]


FUNCTIONS = {
    "hr_sum": "Sum", "hr_sum_float": "RealSum", "hr_moments": "Moments",
    "hr_first": "End$First", "hr_last": "End$Last",
    "hr_add": "Exact$Add", "hr_sub": "Exact$Subtract", "hr_mul": "Exact$Multiply",
    "hr_abs": "Exact$Abs", "hr_overflows": "Exact$Overflows", "hr_sure": "Exact$Sure",
     "hr_time": "Times$Time", "hr_ms": "Times$Millis",
}  # fmt: skip


@pytest.fixture(scope="module")
def sql(program: Callable[..., Any]) -> Any:
    """A streaming session with every function of the jar."""
    session = program("Sql", "streaming")
    for name, path in FUNCTIONS.items():
        answer = session.ask(f"CREATE TEMPORARY FUNCTION {name} AS 'io.headrace.flink.{path}'")
        assert "error" not in answer, answer
    return session


def rows_of(answer: dict[str, Any]) -> dict[Any, list[Any]]:
    """The last row of each key, which is in the first column."""
    assert "error" not in answer, answer
    return {row[1]: row[2:] for row in answer["rows"]}


def literal(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    return f"CAST({value} AS {'DOUBLE' if isinstance(value, float) else 'BIGINT'})"


def test_flink_runs_them_in_one_phase_and_in_two(sql: Any) -> None:
    draw = random.Random(7)
    rows = [
        (f"k{draw.randrange(3)}", draw.randrange(-99, 99), draw.random(), f"s{n}", draw.randrange(9), f"i{n:03}")
        for n in range(60)
    ]
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    query = (
        "SELECT k, hr_sum(v), hr_sum_float(d), hr_moments(d), hr_first(s, t, i), hr_last(s, t, i), "
        f"hr_last(v, t, i), hr_first(d, t, i) FROM (VALUES {values}) AS r(k, v, d, s, t, i) GROUP BY k"
    )
    for settings_ in (
        {"table.exec.mini-batch.enabled": "false"},
        {"table.exec.mini-batch.enabled": "true", "table.exec.mini-batch.allow-latency": "100 ms",
         "table.exec.mini-batch.size": "7", "table.optimizer.agg-phase-strategy": "TWO_PHASE"},
    ):  # fmt: skip
        for name, value in settings_.items():
            sql.ask([name, value])
        plan = json.dumps(sql.ask(f"EXPLAIN {query}"))
        assert ("LocalGroupAggregate" in plan) == ("TWO_PHASE" in settings_.values())
        found = rows_of(sql.ask(query))
        assert set(found) == {row[0] for row in rows}
        for key, (total, real, (n, mean, _), first, last, last_whole, first_real) in found.items():
            mine = sorted((row for row in rows if row[0] == key), key=lambda row: row[4:])
            assert total == sum(row[1] for row in mine)
            assert real == pytest.approx(sum(row[2] for row in mine))
            assert (n, mean) == (len(mine), pytest.approx(real / n))
            assert first == [mine[0][3], *mine[0][4:]]
            assert last == [mine[-1][3], *mine[-1][4:]]
            assert last_whole == [mine[-1][1], *mine[-1][4:]]
            assert first_real == [mine[0][2], *mine[0][4:]]


LARGEST = 2**63 - 1
LATEST = 253_402_300_799_999


def test_whole_numbers_and_times(sql: Any) -> None:
    cases = [
        ("hr_add(a, b)", 5, 7, 12), ("hr_sub(a, b)", 5, 7, -2), ("hr_mul(a, b)", 5, 7, 35),
        ("hr_abs(a)", -5, 0, 5), ("hr_abs(a)", 5, 0, 5), ("hr_sure(a, FALSE)", 5, 0, 5),
        ("hr_add(a, CAST(NULL AS BIGINT))", 5, 7, None), ("hr_abs(CAST(NULL AS BIGINT))", 0, 0, None),
        ("hr_add(a, 1)", LARGEST, 0, None), ("hr_sub(-2, a)", LARGEST, 0, None), ("hr_mul(a, 2)", LARGEST, 0, None),
        ("hr_abs(-a - 1)", LARGEST, 0, None),
        ("hr_ms(hr_time(a))", 1_700_000_000_123, 0, 1_700_000_000_123), ("hr_ms(hr_time(a))", LATEST, 0, LATEST),
        ("hr_ms(hr_time(a))", LATEST + 1, 0, None), ("hr_ms(hr_time(a))", -1, 0, None),
        ("CASE WHEN CAST(hr_time(a) AS STRING) = '1970-01-01 00:00:00.000' THEN b END", 0, 7, 7),
    ]  # fmt: skip
    queries = [
        f"SELECT {place}, {case} FROM (VALUES ({literal(a)}, {literal(b)})) AS r(a, b)"
        for place, (case, a, b, _) in enumerate(cases)
    ]
    found = rows_of(sql.ask(" UNION ALL ".join(queries)))
    assert found == {place: [wanted] for place, (*_, wanted) in enumerate(cases)}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("hr_overflows('+', a, 1)", True), ("hr_overflows('+', a, 0)", False), ("hr_overflows('-', -2, a)", True),
        ("hr_overflows('*', a, 2)", True), ("hr_overflows('*', a, CAST(NULL AS BIGINT))", False),
        ("hr_overflows('/', -a - 1, -1)", True), ("hr_overflows('%', a, -1)", False),
    ],
)  # fmt: skip
def test_where_a_number_leaves_64_bits_is_told(sql: Any, call: str, wanted: bool) -> None:
    found = rows_of(sql.ask(f"SELECT 0, {call} FROM (VALUES ({literal(LARGEST)})) AS r(a)"))
    assert found == {0: [wanted]}


def test_a_number_that_must_be_sure_is_an_error_where_it_is_not(sql: Any) -> None:
    answer = sql.ask(f"SELECT hr_sure(a, TRUE) FROM (VALUES ({literal(LARGEST)})) AS r(a)")
    assert "ArithmeticException" in answer["error"]
