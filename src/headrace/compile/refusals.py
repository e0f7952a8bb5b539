"""Operations that people reach for and that are refused: why, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import ibis.expr.operations as ops

Refusal = tuple[str, str]
"""The cause and the remedy."""

_ALONE: Final = "an expression sees one record"


_WRITTEN: Final[dict[type, str]] = {
    ops.Add: "+", ops.Subtract: "-", ops.Multiply: "*", ops.Divide: "/", ops.FloorDivide: "//", ops.Modulus: "%",
    ops.Power: "**", ops.Negate: "-", ops.Equals: "==", ops.NotEquals: "!=", ops.Less: "<", ops.LessEqual: "<=",
    ops.Greater: ">", ops.GreaterEqual: ">=", ops.And: "&", ops.Or: "|", ops.Xor: "^", ops.Not: "~",
    ops.BitwiseLeftShift: "<<", ops.BitwiseRightShift: ">>", ops.BitwiseNot: "~", ops.BitwiseAnd: "&",
    ops.BitwiseOr: "|", ops.BitwiseXor: "^", ops.StringConcat: "+", ops.InValues: "isin", ops.SearchedCase: "cases",
    ops.SimpleCase: "cases", ops.IfElse: "ifelse", ops.Coalesce: "coalesce or fill_null", ops.Substring: "substr",
    ops.StringSlice: "[start:end]", ops.StrRight: "right", ops.StringFind: "find", ops.StringLength: "length",
    ops.StringContains: "contains", ops.StringReplace: "replace", ops.StringSQLLike: "like", ops.LPad: "lpad",
    ops.RPad: "rpad", ops.RegexSearch: "re_search", ops.RegexExtract: "re_extract", ops.CountStar: "count",
    ops.StandardDev: "stddev", ops.TimestampAdd: "+", ops.TimestampSub: "-", ops.TimestampTruncate: "truncate",
    ops.StartsWith: "startswith", ops.EndsWith: "endswith", ops.NullIf: "nullif", ops.IsNull: "isnull",
    ops.NotNull: "notnull",
}  # fmt: skip


def words(node: ops.Node) -> str:
    """An operation as the user writes it.

    >>> import ibis
    >>> words((ibis.literal(1) << 2).op()), words(ibis.literal("a").ascii_str().op())
    ('<<', 'string ascii')
    """
    known = _WRITTEN.get(type(node))
    return known or re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()


def _aggregate(name: str) -> Refusal:
    return f"{name} aggregates many records, and {_ALONE}", f"use window.{name}(..., by=...)"


REFUSED: Final[list[tuple[type | tuple[type, ...], Refusal | Callable[[str], Refusal]]]] = [
    (
        (ops.ArgMax, ops.ArgMin),
        ("arg max and arg min break ties as the engine pleases", "use window.last(..., by=...) or window.max"),
    ),
    (ops.Reduction, _aggregate),
    (
        (ops.Analytic, ops.WindowFunction),
        (f"a window function looks at other records, and {_ALONE}", "use window.*(..., by=...)"),
    ),
    (ops.Subquery, (f"a subquery reads other records, and {_ALONE}", "join the table in the enrichment")),
    (
        ops.Relation,
        (f"it reads a derived relation, and {_ALONE}", "use the columns of the row, or join in the enrichment"),
    ),
    (
        (ops.Hash, ops.HashBytes, ops.HexDigest),
        ("each engine hashes differently", "keep the value itself, or hash it in the producer"),
    ),
    (
        (ops.StringSplit, ops.RegexSplit, ops.Array, ops.Unnest),
        ("lists are not a column type", "use re_extract for the part that is wanted"),
    ),
    (
        ops.TimestampDiff,
        ("a time minus a time is an interval, which is not a column type", 'write a.delta(b, unit="hour")'),
    ),
    (ops.TimestampBucket, ("bucket starts at another origin on each engine", "use truncate")),
    (
        (ops.Date, ops.Time, ops.Strftime),
        ("dates, times of day and formatted times are not column types", 'use truncate("D"), year(), hour()...'),
    ),
    (
        (ops.IsNan, ops.IsInf),
        ("a float that is not finite is null everywhere", "write .isnull()"),
    ),
    (
        ops.Impure,
        ("its value depends on when or where it is computed", "use the event's own time, or a column"),
    ),
    (
        ops.IntervalFromInteger,
        ("only a constant interval can be added to a time", "write t + ibis.interval(days=7)"),
    ),
    (ops.DayOfWeekName, ("names of days depend on the engine's language", "use day_of_week.index()")),
    (ops.Reverse, ("engines reverse accents and emoji differently", "use right() or substr()")),
    (ops.StringSQLILike, ("ilike folds letters differently on each engine", "write .lower().like(...)")),
    (ops.RegexReplace, ("replacements refer to groups differently on each engine", "use replace or re_extract")),
    (ops.IdenticalTo, ("identical_to is not on the list", "write (a == b).fill_null(False)")),
    ((ops.ScalarUDF, ops.AggUDF), ("a function of one's own runs on one engine only", "write it as an expression")),
]
