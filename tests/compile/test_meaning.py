"""The table of meanings in rewrites.py, by example, on DuckDB and in Python."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import duckdb as engine
import ibis
import pyarrow as pa
import pytest

from headrace.compile import duckdb
from headrace.compile.kinds import INT_MAX, INT_MIN
from headrace.compile.scalar import compile_scalar
from headrace.declare.row import relation
from headrace.declare.types import ColumnType
from headrace.errors import FeatureError

kinds: dict[str, Any] = {
    **{"i": "int", "j": "int", "f": "float", "g": "float", "s": "str"},
    **{"b": "bool", "d": "bool", "t": "time", "u": "time"},
}
COLUMNS = {name: ColumnType(kind, nullable=True) for name, kind in kinds.items()}
record = relation(COLUMNS)
i, j, f, g, s, b, d, t, u = (record[name] for name in kinds)
DAY = 86_400_000
LEAP = 1_709_212_455_678  # 2024-02-29 13:14:15.678, a Thursday

EXAMPLES: list[tuple[Any, dict[str, Any], Any]] = [
    # three-valued logic
    (b & d, {"b": False, "d": None}, False),
    (b & d, {"b": True, "d": None}, None),
    (b | d, {"b": True, "d": None}, True),
    (b | d, {"b": None, "d": False}, None),
    (b ^ d, {"b": True, "d": None}, None),
    (i == j, {"i": None, "j": None}, None),
    (i.isin([1, 2]), {"i": None}, None),
    # a float that is not finite is null
    (f, {"f": math.nan}, None),
    (f + 1, {"f": math.inf}, None),
    (1 / f, {"f": math.inf}, None),
    (1 / f, {"f": 0.0}, None),
    (f * f, {"f": 1e200}, None),
    (1 / (f * f), {"f": 1e200}, None),
    (f.isnull(), {"f": math.nan}, True),
    (f > 0, {"f": math.inf}, None),
    (f.fill_null(7), {"f": -math.inf}, 7.0),
    (ibis.greatest(f, g), {"f": math.nan, "g": 2.0}, 2.0),
    (f.sqrt(), {"f": -1.0}, None),
    (f.ln(), {"f": 0.0}, None),
    (f**g, {"f": -8.0, "g": 0.5}, None),
    (f.exp(), {"f": 1000.0}, None),
    # ints
    (i / j, {"i": 1, "j": 2}, 0.5),
    (i / j, {"i": 1, "j": 0}, None),
    (i // j, {"i": -7, "j": 2}, -4),
    (i // j, {"i": 7, "j": -2}, -4),
    (i // j, {"i": 1, "j": 0}, None),
    (i // 2, {"i": 2**62 + 1}, 2**61),
    (f // g, {"f": -7.5, "g": 2.0}, -4),
    (i % j, {"i": -7, "j": 2}, -1),
    (i % j, {"i": 7, "j": -2}, 1),
    (i % j, {"i": 7, "j": 0}, None),
    (i == f, {"i": 2**53 + 1, "f": 2.0**53}, True),
    # floats to ints, rounding
    (f.cast(int), {"f": -2.7}, -2),
    (f.cast(int), {"f": 2.0**63}, None),
    (f.cast(int), {"f": -(2.0**63)}, INT_MIN),
    (f.round(), {"f": 2.5}, 3),
    (f.round(), {"f": -2.5}, -3),
    (f.round(), {"f": 0.49999999999999994}, 0),
    (f.round(2), {"f": 2.675}, 2.68),
    (f.round(2), {"f": 1.005}, 1.0),
    (i.round(-2), {"i": 250}, 300.0),
    (f.floor(), {"f": -0.5}, -1),
    (f.ceil(), {"f": 0.2}, 1),
    (f.sign(), {"f": -3.0}, -1.0),
    # nulls
    (ibis.greatest(i, j), {"i": None, "j": 3}, 3),
    (ibis.least(i, j), {"i": None, "j": None}, None),
    (i.clip(0, 5), {"i": None}, None),
    (i.clip(5, 0), {"i": 3}, 5),
    (i.nullif(0), {"i": 0}, None),
    (ibis.cases((i > 0, "a"), else_="b"), {"i": None}, "b"),
    # casts
    (b.cast(str), {"b": True}, "true"),
    (i.cast(str), {"i": INT_MIN}, "-9223372036854775808"),
    (s.try_cast(int), {"s": "+12"}, 12),
    (s.try_cast(int), {"s": " 12"}, None),
    (s.try_cast(int), {"s": "12.5"}, None),
    (s.try_cast(int), {"s": "9223372036854775808"}, None),
    (s.try_cast(float), {"s": "-1.5e2"}, -150.0),
    (s.try_cast(float), {"s": "1e999"}, None),
    (s.try_cast(float), {"s": ".5"}, 0.5),
    (s.try_cast(float), {"s": "5."}, 5.0),
    (s.try_cast(float), {"s": "nan"}, None),
    # text
    (s.length(), {"s": "🤦🏼‍♂️"}, 5),
    (s.left(1), {"s": "😀a"}, "😀"),
    (s.right(1), {"s": "a😀"}, "😀"),
    (s.substr(1, 2), {"s": "aéß😀"}, "éß"),
    (s.lpad(3, "0"), {"s": "1234"}, "1234"),
    (s.lpad(3, "0"), {"s": "é"}, "00é"),
    (s.upper(), {"s": "straße ñandú ж İı"}, "STRAßE ÑANDÚ Ж İı"),
    (s.lower(), {"s": "ÉΣ İ"}, "éσ İ"),
    (s.strip(), {"s": "\u00a0 \x0ba\t\n"}, "\u00a0 \x0ba"),
    (s < "é", {"s": "z"}, True),
    (s + "!", {"s": None}, None),
    (s.like("a_"), {"s": "a😀"}, True),
    (s.re_search("^a$"), {"s": "a\n"}, False),
    (s.re_search(r"\d"), {"s": "٣"}, False),
    (s.re_extract("(a)?b", 1), {"s": "b"}, ""),
    (s.re_extract("a", 0), {"s": "b"}, None),
    # times
    (t.year() * 10_000 + t.month() * 100 + t.day(), {"t": LEAP}, 20240229),
    (t.hour() * 10_000 + t.minute() * 100 + t.second(), {"t": LEAP}, 131415),
    (t.millisecond(), {"t": LEAP}, 678),
    (t.epoch_seconds(), {"t": LEAP}, 1_709_212_455),
    (t.day_of_week.index(), {"t": LEAP}, 3),
    (t.day_of_year(), {"t": LEAP}, 60),
    (t.quarter(), {"t": LEAP}, 1),
    (t.week_of_year(), {"t": 1_609_459_200_000}, 53),
    (t.truncate("D"), {"t": LEAP}, LEAP // DAY * DAY),
    (t.truncate("M"), {"t": LEAP}, 1_706_745_600_000),
    (t.truncate("Q"), {"t": LEAP}, 1_704_067_200_000),
    (t.truncate("Y"), {"t": LEAP}, 1_704_067_200_000),
    (t.delta(u, unit="day"), {"t": LEAP, "u": LEAP // DAY * DAY - 1}, 1),
    (t.delta(u, unit="hour"), {"t": LEAP, "u": LEAP + DAY}, -24),
    (t.delta(u, unit="month"), {"t": LEAP, "u": 1_704_067_200_000}, 1),
    (t.delta(u, unit="second"), {"t": 1_000, "u": 999}, 1),
    (t + ibis.interval(days=7), {"t": LEAP}, LEAP + 7 * DAY),
    (t - ibis.interval(days=7), {"t": 7 * DAY}, 0),
    (t - ibis.interval(days=7), {"t": 7 * DAY - 1}, None),
    (t + ibis.interval(seconds=1), {"t": 253_402_300_799_999}, None),
]


def _ids() -> list[str]:
    return [f"{place}-{type(example[0].op()).__name__}" for place, example in enumerate(EXAMPLES)]


@pytest.fixture(scope="module")
def con() -> engine.DuckDBPyConnection:
    return engine.connect(config={"threads": 1})


def in_duckdb(con: engine.DuckDBPyConnection, expression: Any, row: dict[str, Any]) -> Any:
    columns = {name: pa.array([row.get(name)], kind.arrow) for name, kind in COLUMNS.items()}
    con.register("record", pa.table(columns))
    ((found,),) = con.execute(duckdb.select({"x": expression})).fetchall()
    return (found - datetime(1970, 1, 1)) // timedelta(milliseconds=1) if isinstance(found, datetime) else found


@pytest.mark.parametrize(("expression", "row", "expected"), EXAMPLES, ids=_ids())
def test_examples(con: engine.DuckDBPyConnection, expression: Any, row: dict[str, Any], expected: Any) -> None:
    in_python = compile_scalar({"x": expression})({**dict.fromkeys(COLUMNS), **row})["x"]
    for found in (in_python, in_duckdb(con, expression, row)):
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        (i + 1, {"i": INT_MAX}), (i - 1, {"i": INT_MIN}), (i * 2, {"i": 2**62}), (-i, {"i": INT_MIN}),
        (i.abs(), {"i": INT_MIN}), (i // j, {"i": INT_MIN, "j": -1}), (i % j, {"i": INT_MIN, "j": -1}),
        (s.length() * INT_MAX, {"s": "ab"}), (t.epoch_seconds() * INT_MAX, {"t": LEAP}),
    ],
)  # fmt: skip
def test_int_overflow_is_an_error(con: engine.DuckDBPyConnection, expression: Any, row: dict[str, Any]) -> None:
    with pytest.raises(FeatureError, match="overflows"):
        compile_scalar({"x": expression})({**dict.fromkeys(COLUMNS), **row})
    with pytest.raises(engine.OutOfRangeException):
        in_duckdb(con, expression, row)
