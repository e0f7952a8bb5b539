"""What is refused, and that the refusal says what to write instead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import pytest

from headrace.compile import duckdb, flink
from headrace.compile.allowed import check
from headrace.compile.patterns import Regex, regex
from headrace.compile.scalar import compile_scalar
from headrace.declare.row import relation
from headrace.declare.types import ColumnType
from headrace.errors import ExpressionError

kinds: dict[str, Any] = {"i": "int", "f": "float", "s": "str", "b": "bool", "t": "time", "u": "time"}
record = relation({name: ColumnType(kind) for name, kind in kinds.items()})
i, f, s, b, t, u = (record[name] for name in kinds)

REFUSED = [
    (f % 2, "% of floats", "//"),
    (i % 2.5, "% of floats", "cast both sides"),
    (f.cast(str), "a float differently as a string", "cast it to int"),
    (t.cast(str), "a time differently as a string", "year()"),
    (s.cast(int), "a cast of a string to int64", '.try_cast("int")'),
    (s.cast(float), "a cast of a string to float64", '.try_cast("float")'),
    (s.try_cast("timestamp"), "try_cast of a string to timestamp", "int or float"),
    (f.cast("int32"), "narrower", "cast to int64"),
    (f.cast("float32"), "narrower", "cast to float64"),
    (i.cast(bool), "a cast of int to boolean", "x != 0"),
    (t.cast(int), "a cast of time to int64", "epoch_seconds()"),
    (t.truncate("W"), "weeks begin", "day_of_week.index()"),
    (t.truncate("us"), "truncate to 'us'", "use one of s, m, h"),
    (t - u, "a time minus a time", 'a.delta(b, unit="hour")'),
    (t.delta(u, unit="week"), "delta in 'week'", "second, minute"),
    (t + ibis.interval(months=1), "constant interval", "ibis.interval(days=7)"),
    (t + i.as_interval("s"), "interval", "ibis.interval(days=7)"),
    (t + ibis.interval(days=4_000_000), "longer than the years", "shorter"),
    (t > "2024-01-01", "> of", "ibis.timestamp('2024-01-31')"),
    (t == datetime(2024, 1, 1, 0, 0, 0, 5), "whole ms", "round it"),
    (t == datetime(1969, 1, 1), "from 1970 on", "round it"),
    (t.date(), "not column types", "truncate"),
    (t.bucket(hours=1), "bucket", "truncate"),
    (t.day_of_week.full_name(), "names of days", "index()"),
    (t > ibis.now(), "when or where", "the event's own time"),
    (ibis.random() + f, "when or where", "column"),
    (s.hash(), "hashes differently", "producer"),
    (s.hexdigest("md5"), "hashes differently", "producer"),
    (s.split(",")[0], "lists", "re_extract"),
    (f.argmax(i), "arg max", "window.last"),
    (f.sum(), "sum aggregates", "window.sum(..., by=...)"),
    (f.std(), "stddev aggregates", "window.stddev(..., by=...)"),
    (f - f.mean(), "mean aggregates", "window.mean(..., by=...)"),
    (record.count() + 1, "count aggregates", "window.count(..., by=...)"),
    (f.lag(), "other records", "window."),
    (f.mean().over(ibis.window(group_by=s)), "mean aggregates", "window."),
    (ibis.row_number(), "other records", "window."),
    (i + relation({"i": ColumnType("int")}, "other").i, "two relations", "enrichment"),
    (record.filter(i > 0).i, "derived relation", "enrichment"),
    (f.isnan(), "not finite is null", ".isnull()"),
    (f > float("nan"), "not finite", "ibis.null(float)"),
    (ibis.literal(2**63, "uint64"), "uint64", "int, float"),
    (f.log(3), "log to a base", ".ln()"),
    (f.round(i), "the digits of round is not a constant", "write such a number"),
    (f.round(20), "from -15 to 15", "write such a number"),
    (i.clip(0.5, 2), "clip of an int", "cast the column"),
    (b > b, "> of bool", "cast"),
    (i.isin([1, None]), "isin has a null", "x.isnull()"),
    (s.reverse(), "emoji", "right()"),
    (s.ilike("a%"), "ilike", ".lower()"),
    (s.like("a\\%"), "without escapes", "contains"),
    (s.re_replace("a", "b"), "replacements", "re_extract"),
    (s.re_search(r"(?=a)"), "not understood alike", "patterns"),
    (s.re_search(s), "not a constant", "write it as a string"),
    (s.re_extract("a", 1), "group 1 of 0", "name a group"),
    (s.replace("", "x"), "not empty", "name what"),
    (s.replace(s, "x"), "constant", "name what"),
    (s[i:], "the start of [start:end]", "write such a number"),
    (s.substr(-2), "the start of substr", "write such a number"),
    (s.lpad(5, "ab"), "one character", "one character"),
    (s == "a\x00", "not text", "NUL"),
    (s.find("a"), "find is not on the list", "docs/expressions.md"),
    (i << 2, "<< is not on the list", "before the record enters"),
    (f.identical_to(f), "identical_to", "fill_null(False)"),
    (ibis.null(), "its type is null", "ibis.null(float)"),
    (ibis.interval(days=1), "its type is interval", "column types"),
    (ibis.literal(1).cast("decimal"), "a cast of int to decimal", "another type"),
]


@pytest.mark.parametrize(("expression", "cause", "remedy"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refusals_name_the_cause_and_the_remedy(expression: Any, cause: str, remedy: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check(expression, "feature now.share")
    assert caught.value.subject == "feature now.share"
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy
    for refuse in (duckdb.select, flink.select, compile_scalar):
        with pytest.raises(ExpressionError):
            refuse({"x": expression})


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(ExpressionError, match="feature x: 3 is not an expression"):
        check(3, "feature x")


@pytest.mark.parametrize(
    "text",
    [
        "(?=a)", "(?<n>a)", "(?i)a", r"\ba", r"\sa", r"(a)\1", "a++", "a**", "*a", "a{,2}", "[[:alpha:]]", "[a&&b]",
        "[a", "(a", "a)", "(a)+", "(?:a*)+", "(?:|a)*", "a|*", "^*", r"\pL", "[]", "[b-a]", "\\", "{", "a{2000}",
    ],
)  # fmt: skip
def test_patterns_that_engines_read_differently_are_refused(text: str) -> None:
    assert isinstance(regex(text), str)


@pytest.mark.parametrize(
    ("text", "java"),
    [
        ("a$", r"(?d)a\z"),
        (r"\$[$]", r"(?d)\$[$]"),
        ("(a|b$)c?", r"(?d)(a|b\z)c?"),
        (r"(\d+)-(?:x|yz){1,3}?", r"(?d)(\d+)-(?:x|yz){1,3}?"),
    ],
)
def test_patterns_are_written_for_java(text: str, java: str) -> None:
    found = regex(text)
    assert isinstance(found, Regex)
    assert found.java == java
