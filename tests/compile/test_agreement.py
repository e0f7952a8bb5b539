"""DuckDB and Python agree on every allowed operation, and on what is composed of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb as engine
import hypothesis.strategies as st
import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from ibis.backends.sql.dialects import Flink

from headrace.compile import duckdb, flink
from headrace.compile.allowed import ALLOWED
from headrace.compile.kinds import INT_MAX, INT_MIN
from headrace.compile.letters import LOWER, UPPER
from headrace.compile.scalar import Scalar, compile_scalar
from headrace.declare.instant import LATEST
from headrace.declare.row import relation
from headrace.declare.types import ColumnType
from headrace.errors import FeatureError

COLUMNS = {
    name: ColumnType(kind, nullable=True)
    for kind, names in {"int": "ij", "float": "fg", "str": "sr", "bool": "bd", "time": "tu"}.items()
    for name in names
}
record = relation(COLUMNS)
i, j, f, g, s, r, b, d, t, u = (record[name] for name in COLUMNS)
NOON = ibis.timestamp("2024-02-29 12:00:00")
TRANSCENDENTAL = (ops.Exp, ops.Ln, ops.Log, ops.Log2, ops.Log10, ops.Power, ops.Sin, ops.Cos)
TOLERANCE = 1e-12
"""Relative, for what is composed of transcendental functions; all else is bit for bit."""

CASES: dict[type, list[Any]] = {
    ops.Field: [i, f, s, b, t],
    ops.Literal: [
        ibis.literal(7),
        ibis.literal(INT_MIN),
        ibis.literal(-2.5),
        ibis.literal(5e-324),
        ibis.literal("it's é"),
        ibis.literal(False),
        NOON,
        ibis.null(float),
        ibis.null("timestamp"),
    ],
    ops.Pi: [ibis.pi * f],
    ops.E: [ibis.e * f],
    ops.Add: [i + j, f + g, i + f, i + 1, 1.5 + i, f + 2],
    ops.Subtract: [i - j, f - g, i - f, INT_MIN - i],
    ops.Multiply: [i * j, f * g, i * f, i * 3, 2 * f, f * f * f],
    ops.Divide: [i / j, f / g, i / g, i / 3, 1 / f, f / 0, (f * g) / (f - g)],
    ops.FloorDivide: [i // j, i // 3, i // -7, f // g, i // 2.5, i // 0],
    ops.Modulus: [i % j, i % 3, i % -7, i % -1],
    ops.Negate: [-i, -f, (-f).negate(), -ibis.literal(3)],
    ops.Abs: [i.abs(), f.abs(), (f * g).abs()],
    ops.Sign: [i.sign(), f.sign(), (f * g).sign()],
    ops.Round: [i.round(), f.round(), f.round(2), i.round(-2), f.round(-3), i.round(1), f.round(15)],
    ops.Floor: [i.floor(), f.floor(), (f / g).floor()],
    ops.Ceil: [i.ceil(), f.ceil()],
    ops.Sqrt: [i.sqrt(), f.sqrt(), (f * g).sqrt()],
    ops.Exp: [i.exp(), f.exp()],
    ops.Ln: [i.ln(), f.ln()],
    ops.Log: [f.log()],
    ops.Log2: [f.log2(), i.log2()],
    ops.Log10: [f.log10(), i.log10()],
    ops.Power: [f**g, i**2, f**0.5, i**j, 2**f],
    ops.Sin: [f.sin(), i.sin()],
    ops.Cos: [f.cos()],
    ops.Clip: [i.clip(0, 10), f.clip(-1, 1), f.clip(lower=0), f.clip(upper=g), i.clip(j, 5)],
    ops.Greatest: [
        ibis.greatest(i, j),
        ibis.greatest(f, g, 0.5),
        ibis.greatest(i, f),
        ibis.greatest(t, u),
        ibis.greatest(i),
    ],
    ops.Least: [ibis.least(i, j), ibis.least(f, g, i), ibis.least(t, u, NOON), ibis.least(f)],
    ops.Equals: [i == j, f == g, i == f, s == r, b == d, t == u, s == "ß", f == 0],
    ops.NotEquals: [i != j, f != g, s != r, b != d, t != NOON],
    ops.Less: [i < j, f < g, i < f, s < r, t < u, f < 0],
    ops.LessEqual: [i <= j, f <= g, s <= r, t <= NOON],
    ops.Greater: [i > j, f > g, i > 1.5, s > r, t > u],
    ops.GreaterEqual: [i >= j, f >= g, s >= "e", t >= u],
    ops.Between: [i.between(-1, 5), f.between(g, 10), i.between(0, 2.5), s.between("a", r), t.between(u, NOON)],
    ops.InValues: [
        i.isin([1, -1, INT_MAX]),
        f.isin([0, 1.5, i]),
        s.isin(["", "ß", "a"]),
        t.isin([NOON]),
        i.isin([]),
        i.isin([1, 2.5]),
        b.isin([True]),
    ],
    ops.And: [b & d, (i > 0) & b, b & True],
    ops.Or: [b | d, (i > 0) | b, b | False],
    ops.Xor: [b ^ d],
    ops.Not: [~b, ~(f > g)],
    ops.IsNull: [i.isnull(), f.isnull(), (f / g).isnull(), s.isnull(), (b & d).isnull()],
    ops.NotNull: [i.notnull(), f.notnull(), t.notnull()],
    ops.Coalesce: [
        i.fill_null(0),
        i.coalesce(f),
        f.coalesce(g, 1),
        s.fill_null(""),
        t.coalesce(u),
        (f / g).fill_null(-1),
    ],
    ops.NullIf: [i.nullif(j), f.nullif(0), s.nullif(""), i.nullif(0.5), b.nullif(d), f / g.nullif(0)],
    ops.IfElse: [b.ifelse(i, j), b.ifelse(i, f), (i > 0).ifelse("a", "bcd"), b.ifelse(t, None), b.ifelse(1, 2)],
    ops.SearchedCase: [
        ibis.cases((f > 1, "big"), (f > 0, "small"), else_="none"),
        ibis.cases((b, f * g), (d, i)),
        ibis.cases((i > 1, b), else_=d),
    ],
    ops.SimpleCase: [
        i.cases((1, "one"), (-1, "minus")),
        s.cases(("a", 1), ("ß", 2.5), else_=0),
        b.cases((True, 1)),
    ],
    ops.Cast: [
        i.cast(float),
        f.cast(int),
        b.cast(int),
        b.cast(float),
        i.cast(str),
        b.cast(str),
        (f * g).cast(int),
    ],
    ops.TryCast: [s.try_cast(int), s.try_cast(float), f.try_cast(int)],
    ops.StringConcat: [s + r, s + "-" + r, "x" + s],
    ops.Uppercase: [s.upper()],
    ops.Lowercase: [s.lower()],
    ops.Strip: [s.strip()],
    ops.LStrip: [s.lstrip()],
    ops.RStrip: [s.rstrip()],
    ops.StringLength: [s.length(), s.length() * 1_000_000_000],
    ops.StringContains: [s.contains(r), s.contains("e"), s.contains("")],
    ops.StartsWith: [s.startswith(r), s.startswith("")],
    ops.EndsWith: [s.endswith(r), s.endswith("́")],
    ops.StringReplace: [s.replace("a", "bb"), s.replace("ß", ""), s.replace("e", r)],
    ops.Substring: [s.substr(0, 2), s.substr(1), s.left(1), s.left(0), s.substr(5, 1000)],
    ops.StringSlice: [s[1:3], s[:2], s[3:], s[3:1]],
    ops.StrRight: [s.right(2), s.right(0)],
    ops.LPad: [s.lpad(4, "0"), s.lpad(3, "é"), s.lpad(0)],
    ops.RPad: [s.rpad(4, "0"), s.rpad(5)],
    ops.StringSQLLike: [s.like("a%"), s.like("_"), s.like("%e_%"), s.like("")],
    ops.RegexSearch: [
        s.re_search("^[a-c]+$"),
        s.re_search(r"\d"),
        s.re_search("(?:a|ß)+?."),
        s.re_search(r"[^\w]"),
        s.re_search(""),
    ],
    ops.RegexExtract: [
        s.re_extract("(a)?(.)", 1),
        s.re_extract(r"([+-]?)(\d+)", 2),
        s.re_extract("[^ ]*", 0),
        s.re_extract(".$", 0),
    ],
    ops.ExtractYear: [t.year()],
    ops.ExtractQuarter: [t.quarter()],
    ops.ExtractMonth: [t.month()],
    ops.ExtractDay: [t.day()],
    ops.ExtractDayOfYear: [t.day_of_year()],
    ops.ExtractWeekOfYear: [t.week_of_year()],
    ops.ExtractHour: [t.hour()],
    ops.ExtractMinute: [t.minute()],
    ops.ExtractSecond: [t.second()],
    ops.ExtractMillisecond: [t.millisecond()],
    ops.ExtractEpochSeconds: [t.epoch_seconds()],
    ops.DayOfWeekIndex: [t.day_of_week.index()],
    ops.TimestampTruncate: [t.truncate(unit) for unit in ("s", "m", "h", "D", "M", "Q", "Y")],
    ops.TimestampDelta: [
        t.delta(u, unit=unit) for unit in ("second", "minute", "hour", "day", "month", "quarter", "year")
    ],
    ops.TimestampAdd: [t + ibis.interval(days=7), t + ibis.interval(seconds=1)],
    ops.TimestampSub: [t - ibis.interval(weeks=2), t - ibis.interval(minutes=90)],
    ops.IntervalAdd: [t + ibis.interval(days=400, hours=5)],
    ops.IntervalSubtract: [t + (ibis.interval(hours=5) - ibis.interval(minutes=7))],
}

ALL = [case for cases in CASES.values() for case in cases]


def _overflows(case: Any) -> bool:
    kinds = (ops.Add, ops.Subtract, ops.Multiply, ops.Negate, ops.Abs, ops.FloorDivide, ops.Modulus)
    return any(node.dtype.is_integer() for node in case.op().find(kinds))


TOTAL = {f"x{place}": case for place, case in enumerate(ALL) if not _overflows(case)}
PARTIAL = {f"x{place}": case for place, case in enumerate(ALL) if _overflows(case)}

ints = st.one_of(
    st.none(),
    st.integers(-12, 12),
    st.sampled_from([INT_MIN, INT_MIN + 1, INT_MAX, INT_MAX - 1, 2**53 + 1, 2**32]),
    st.integers(INT_MIN, INT_MAX),
)
floats = st.one_of(
    st.none(),
    st.integers(-12, 12).map(float),
    st.integers(-99, 99).map(lambda n: n / 2),
    st.sampled_from(
        [
            -0.0,
            5e-324,
            -5e-324,
            1.7976931348623157e308,
            -1e308,
            1e-308,
            2.0**63,
            -(2.0**63),
            9.223372036854774e18,
            0.49999999999999994,
            2.675,
            1.005,
            2.0**52 + 1,
            math.inf,
            -math.inf,
            math.nan,
        ]
    ),
    st.floats(),
)
PIECES = [
    "a",
    "b",
    "e",
    "é",
    "é",
    "ß",
    "ẞ",
    "İ",
    "ı",
    "i",
    "ſ",
    "Σ",
    "ς",
    "Ж",
    "ñ",
    "A",
    "🤦🏼‍♂️",
    "😀",
    " ",
    "\t",
    "\n",
    "\x0b",
    "\r",
    "\u00a0",
    "0",
    "1",
    "9",
    "٣",
    "+",
    "-",
    ".",
    "_",
    "%",
    "\\",
    "'",
    "[",
    "ǆ",
    "\u2028",
]
texts = st.one_of(
    st.none(),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.sampled_from(
        [
            "",
            "12",
            "-7",
            "+5",
            "1e5",
            "1.5",
            ".5",
            "5.",
            "1e999",
            "-1e-400",
            "nan",
            "inf",
            " 1",
            "1\n",
            "1_0",
            "0x1f",
            "١",
            str(INT_MAX),
            str(INT_MAX + 1),
            str(INT_MIN),
            "00000000000000000000000005",
            "1.7976931348623159e308",
            "1e",
            "--1",
        ]
    ),
    st.from_regex(r"[+-]?[0-9]{1,22}(\.[0-9]{0,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6),
)
bools = st.sampled_from([True, False, None])
DAY = 86_400_000
times = st.one_of(
    st.none(),
    st.integers(0, 10 * DAY),
    st.sampled_from([0, 1, 999, LATEST, LATEST - DAY, 1_709_208_000_000, 951_782_400_000]),
    st.integers(0, 4_102_444_800_000),
    st.integers(0, LATEST),
    st.integers(0, 30_000).map(lambda day: day * DAY),
)
OF_KIND = {"int": ints, "float": floats, "str": texts, "bool": bools, "time": times}
rows = st.lists(
    st.fixed_dictionaries({name: OF_KIND[kind.kind] for name, kind in COLUMNS.items()}), min_size=1, max_size=40
)

Rows = Sequence[Mapping[str, Any]]


def in_duckdb(con: engine.DuckDBPyConnection, query: str, given: Rows, unit: str = "us") -> dict[str, list[Any]]:
    """The columns that a query over the rows gives, times as ms."""
    types = {name: pa.timestamp(unit) if kind.kind == "time" else kind.arrow for name, kind in COLUMNS.items()}
    scale = 1_000 if unit == "us" else 1
    columns = {}
    for name, kind in COLUMNS.items():
        values = [row[name] for row in given]
        if kind.kind == "time":
            values = [None if value is None else value * scale for value in values]
        columns[name] = pa.array(values, types[name])
    con.register("record", pa.table(columns))
    found = con.execute(query).fetchall()
    names = [column[0] for column in con.description]
    return {name: [_plain(row[place]) for row in found] for place, name in enumerate(names)}


def _plain(value: Any) -> Any:
    return (value - datetime(1970, 1, 1)) // timedelta(milliseconds=1) if isinstance(value, datetime) else value


def in_python(function: Scalar, given: Rows) -> list[dict[str, Any] | None]:
    """What the function gives for each row; None where it overflows."""
    found: list[dict[str, Any] | None] = []
    for row in given:
        try:
            found.append(function(row))
        except FeatureError:
            found.append(None)
    return found


def same(left: Any, right: Any, rough: bool) -> bool:
    if type(left) is not type(right):
        return False
    if rough and isinstance(left, float):
        return math.isclose(left, right, rel_tol=TOLERANCE)
    return bool(left == right)


def rough(case: Any) -> bool:
    return bool(case.op().find(TRANSCENDENTAL))


@pytest.fixture(scope="module")
def con() -> engine.DuckDBPyConnection:
    return engine.connect(config={"threads": 1})


TOTAL_SQL, TOTAL_PYTHON = duckdb.select(TOTAL), compile_scalar(TOTAL)
PARTIAL_PYTHON = {name: compile_scalar({name: case}) for name, case in PARTIAL.items()}


def test_every_allowed_operation_has_a_case() -> None:
    assert set(CASES) == set(ALLOWED)
    for kind, cases in CASES.items():
        for case in cases:
            assert case.op().find(kind), (kind, case)


@pytest.mark.parametrize("unit", ["us", "ms"])
def test_operations_agree(con: engine.DuckDBPyConnection, unit: str) -> None:
    @settings(max_examples=60 if unit == "us" else 20, deadline=None)
    @given(rows)
    def run(given: Rows) -> None:
        found = in_duckdb(con, TOTAL_SQL, given, unit)
        for place, row in enumerate(given):
            expected = TOTAL_PYTHON(row)
            for name, case in TOTAL.items():
                value = found[name][place]
                assert same(value, expected[name], rough(case)), (case, row, value, expected[name])

    run()


@settings(max_examples=30, deadline=None)
@given(rows)
def test_operations_that_overflow_agree(con: engine.DuckDBPyConnection, given: Rows) -> None:
    outcomes = {name: in_python(function, given) for name, function in PARTIAL_PYTHON.items()}
    for name, case in PARTIAL.items():
        one = duckdb.select({name: case})
        good = [row for row, outcome in zip(given, outcomes[name], strict=True) if outcome is not None]
        bad = [row for row, outcome in zip(given, outcomes[name], strict=True) if outcome is None]
        if good:
            values = in_duckdb(con, one, good)[name]
            wanted = [outcome[name] for outcome in outcomes[name] if outcome is not None]
            for row, value, expected in zip(good, values, wanted, strict=True):
                assert same(value, expected, rough(case)), (case, row, value, expected)
        if bad:
            with pytest.raises(engine.Error):
                in_duckdb(con, one, bad[:1])
            tried = one.replace("SELECT\n  ", "SELECT TRY(").replace(f' AS "{name}"', f') AS "{name}"')
            assert in_duckdb(con, tried, bad)[name] == [None] * len(bad)


def test_the_text_does_not_depend_on_the_session() -> None:
    given = [
        {"i": 1, "j": 2, "f": 1.5, "g": 0.0, "s": "é", "r": "", "b": True, "d": None, "t": ms, "u": 0}
        for ms in (0, 1_709_208_000_000, 1_711_846_800_000)
    ]
    answers = []
    for zone in ("UTC", "America/New_York", "Asia/Kathmandu"):
        con = engine.connect()
        con.execute(f"SET TimeZone = '{zone}'")
        answers.append(in_duckdb(con, TOTAL_SQL, given))
    assert answers[0] == answers[1] == answers[2]


# Composed expressions: what a kind of value can be made of, three deep.

LEAVES: dict[str, list[Any]] = {
    "int": [i, j, *map(ibis.literal, (-3, 0, 1, 7))],
    "float": [f, g, *map(ibis.literal, (0.0, -1.5, 0.1, 1e300))],
    "str": [s, r, *map(ibis.literal, ("", "é", "a1", "ß "))],
    "bool": [b, d],
    "time": [t, u, NOON],
}
STEPS: dict[str, list[tuple[str, Callable[..., Any]]]] = {
    "int": [
        ("int int", lambda x, y: x + y),
        ("int int", lambda x, y: x - y),
        ("int int", lambda x, y: x * y),
        ("int int", lambda x, y: x // y),
        ("int int", lambda x, y: x % y),
        ("int int", lambda x, y: x.nullif(y)),
        ("int int", lambda x, y: x.coalesce(y)),
        ("int int", ibis.greatest),
        ("bool int int", lambda c, x, y: c.ifelse(x, y)),
        ("float", lambda x: x.floor()),
        ("float", lambda x: x.round()),
        ("float", lambda x: x.cast(int)),
        ("float float", lambda x, y: x // y),
        ("str", lambda x: x.length()),
        ("str", lambda x: x.try_cast(int)),
        ("time", lambda x: x.month()),
        ("time", lambda x: x.epoch_seconds()),
        ("time time", lambda x, y: x.delta(y, unit="day")),
        ("bool", lambda x: x.cast(int)),
    ],
    "float": [
        ("float float", lambda x, y: x + y),
        ("float int", lambda x, y: x - y),
        ("float float", lambda x, y: x * y),
        ("float float", lambda x, y: x / y),
        ("int int", lambda x, y: x / y),
        ("float int", lambda x, y: x.nullif(y)),
        ("float float", lambda x, y: x.coalesce(y)),
        ("float int", ibis.least),
        ("float float", lambda x, y: x.clip(y, 5)),
        ("bool float int", lambda c, x, y: c.ifelse(x, y)),
        ("float", lambda x: x.abs()),
        ("float", lambda x: -x),
        ("float", lambda x: x.sqrt()),
        ("float", lambda x: x.sign()),
        ("float", lambda x: x.round(2)),
        ("str", lambda x: x.try_cast(float)),
    ],
    "str": [
        ("str str", lambda x, y: x + y),
        ("str str", lambda x, y: x.coalesce(y)),
        ("str str", lambda x, y: x.nullif(y)),
        ("bool str str", lambda c, x, y: ibis.cases((c, x), else_=y)),
        ("int str str", lambda n, x, y: n.cases((0, x), (1, y), else_="?")),
        ("str", lambda x: x.upper().strip()),
        ("str", lambda x: x[1:3]),
        ("str", lambda x: x.right(2).lpad(3, "0")),
        ("str", lambda x: x.re_extract("([a-z])|.", 1)),
        ("int", lambda x: x.cast(str)),
        ("bool", lambda x: x.cast(str)),
    ],
    "bool": [
        ("bool bool", lambda x, y: x & y),
        ("bool bool", lambda x, y: x | y),
        ("bool bool", lambda x, y: x ^ y),
        ("bool", lambda x: ~x),
        ("bool", lambda x: x.fill_null(False)),
        ("int float", lambda x, y: x < y),
        ("int int", lambda x, y: x == y),
        ("float float", lambda x, y: x >= y),
        ("str str", lambda x, y: x < y),
        ("str str", lambda x, y: x.contains(y)),
        ("time time", lambda x, y: x > y),
        ("float", lambda x: x.isnull()),
        ("int", lambda x: x.isin([0, 1, -3])),
        ("bool", lambda x: x.isnull()),
    ],
    "time": [
        ("time", lambda x: x.truncate("D")),
        ("time", lambda x: x.truncate("Q")),
        ("time", lambda x: x + ibis.interval(days=40)),
        ("time", lambda x: x - ibis.interval(hours=5)),
        ("time time", ibis.greatest),
        ("time time", lambda x, y: x.coalesce(y)),
        ("bool time time", lambda c, x, y: c.ifelse(x, y)),
    ],
}


@st.composite
def composed(draw: st.DrawFn, kind: str, depth: int) -> Any:
    if depth == 0 or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(LEAVES[kind]))
    operands, step = STEPS[kind][draw(st.integers(0, len(STEPS[kind]) - 1))]
    given = [draw(composed(operand, depth - 1)) for operand in operands.split()]
    try:
        return step(*given)
    except (ZeroDivisionError, ibis.common.exceptions.IbisError):  # ibis computes what is constant
        return draw(st.sampled_from(LEAVES[kind]))


expressions = st.lists(
    st.sampled_from(sorted(STEPS)).flatmap(lambda kind: composed(kind, 3)), min_size=1, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(expressions, rows)
def test_composed_expressions_agree(con: engine.DuckDBPyConnection, cases: list[Any], given: Rows) -> None:
    """Where Python has a value, DuckDB has it too. (Where Python overflows, DuckDB may not need the value.)"""
    named = {f"x{place}": case for place, case in enumerate(cases)}
    function = compile_scalar(named)
    outcomes = in_python(function, given)
    good = [row for row, outcome in zip(given, outcomes, strict=True) if outcome is not None]
    sqlglot.parse_one(flink.select(named), dialect=Flink)
    if not good:
        return
    found = in_duckdb(con, duckdb.select(named), good)
    wanted = [outcome for outcome in outcomes if outcome is not None]
    for place, row in enumerate(good):
        for name in named:
            value, expected = found[name][place], wanted[place][name]
            assert same(value, expected, False), (row, value, expected, function.source, duckdb.select(named))


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "é", "[ab]", "[^a]", "[a-c1]", r"\d", r"\W", r"\.", "^", "$", "ß", "😀"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds(
            "{}{}".format,
            st.sampled_from(["a", ".", "[ab]", r"\w", "(?:ab)", "(?:a|é)"]),
            st.sampled_from(["*", "+", "?", "{1,2}", "*?", "+?", "{2}"]),
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(PATTERNS, st.lists(texts, min_size=1, max_size=20))
def test_patterns_agree(con: engine.DuckDBPyConnection, pattern: str, given: list[str | None]) -> None:
    cases = {"search": s.re_search(pattern), "extract": s.re_extract(pattern, 0)}
    blank = dict.fromkeys(COLUMNS)
    wide = [{**blank, "s": text} for text in given]
    found, function = in_duckdb(con, duckdb.select(cases), wide), compile_scalar(cases)
    for place, row in enumerate(wide):
        assert {name: found[name][place] for name in cases} == function(row), (pattern, row["s"])


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("ab_%\n.é😀"), max_size=5), st.lists(texts, min_size=1, max_size=20))
def test_like_agrees(con: engine.DuckDBPyConnection, pattern: str, given: list[str | None]) -> None:
    cases = {"like": s.like(pattern)}
    wide = [{**dict.fromkeys(COLUMNS), "s": text} for text in given]
    found, function = in_duckdb(con, duckdb.select(cases), wide), compile_scalar(cases)
    assert found["like"] == [function(row)["like"] for row in wide]


def test_cases_of_letters_agree_on_every_letter(con: engine.DuckDBPyConnection) -> None:
    given = [{**dict.fromkeys(COLUMNS), "s": chr(point)} for point in [*range(1, 0x600), 0x1E9E, 0x10D0, 0xFF21]]
    cases = {"upper": s.upper(), "lower": s.lower()}
    found, function = in_duckdb(con, duckdb.select(cases), given), compile_scalar(cases)
    assert [dict(zip(cases, pair, strict=True)) for pair in zip(*found.values(), strict=True)] == [
        function(row) for row in given
    ]
    assert len(UPPER) == len(LOWER) == len(set(UPPER)) == len(set(LOWER))
    assert set("AZÉÑΩЖ") < set(UPPER)
    assert not set("ßİıſς") & (set(UPPER) | set(LOWER))


@pytest.mark.parametrize("kind", list(CASES), ids=lambda kind: kind.__name__)
def test_flink_text_parses(kind: type) -> None:
    text = flink.select({f"x{place}": case for place, case in enumerate(CASES[kind])})
    assert len(sqlglot.parse_one(text, dialect=Flink).expressions) == len(CASES[kind])
