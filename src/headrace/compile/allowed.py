"""The allow-list: the operations of an expression that mean the same on DuckDB, on Flink and in Python.

What each of them means is the table of rewrites.py. Everything that is not listed here is refused.
"""

from __future__ import annotations

from typing import Any, Final

import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.checks import (
    Check,
    alike,
    casting,
    clipping,
    constant,
    constants,
    difference,
    free,
    in_values,
    interval,
    like_pattern,
    logarithm,
    modulus,
    operands,
    padding,
    pattern,
    replacing,
    rounding,
    shifting,
    truncating,
)
from headrace.compile.kinds import kind_of
from headrace.compile.refusals import REFUSED, Refusal, words
from headrace.errors import ExpressionError


def check(expression: ir.Value, subject: str) -> None:
    """Refuses an expression outside the allow-list: ExpressionError names the operation and what to write.

    >>> import ibis
    >>> sale = ibis.table({"price": "float64"}, name="record")
    >>> check(sale.price * 2, "feature now.double")
    >>> check(sale.price.cast("string"), "feature now.text")
    Traceback (most recent call last):
    headrace.errors.ExpressionError: feature now.text: each engine writes a float differently as a string. To mend \
it: cast it to int first, or keep the number
    """
    if not isinstance(expression, ir.Value):
        raise ExpressionError(
            subject, f"{expression!r} is not an expression", "return a column of the row, or ibis.literal(...)"
        )
    root = expression.op()
    for node in root.find(ops.Node, ordered=True):
        refusal = _refusal(node)
        if refusal is not None:
            raise ExpressionError(subject, *refusal)
    if len(root.find(ops.UnboundTable)) > 1:
        raise ExpressionError(subject, "it reads two relations", "join them in the enrichment")
    if kind_of(root.dtype) in (None, "null"):
        raise ExpressionError(
            subject, f"its type is {root.dtype}", "give it one of the column types, such as ibis.null(float)"
        )


def _refusal(node: Any) -> Refusal | None:
    known = ALLOWED.get(type(node))
    if known is not None:
        return known(node)
    if isinstance(node, ops.UnboundTable | ops.Alias):
        return None
    for kinds, refusal in REFUSED:
        if isinstance(node, kinds):
            return refusal(words(node)) if callable(refusal) else refusal
    return f"{words(node)} is not on the list of operations that every engine computes alike", (
        "compute it before the record enters the stream, or use the operations of docs/expressions.md"
    )


_NUMBERS: Final = operands("cast it to int or float", left="int float", right="int float")
_NUMBER: Final = operands("cast it to int or float", arg="int float")
_LOGIC: Final = operands("compare it with something", left="bool", right="bool")
_EQUAL: Final = alike("cast one side; for a time, write ibis.timestamp('2024-01-31')", "left", "right")
_ORDER: Final = alike(
    "cast one side; for a time, write ibis.timestamp('2024-01-31')", "left", "right", kinds="int float str time"
)
_PART: Final = operands("use a time in UTC", arg="time")

ALLOWED: Final[dict[type, Check]] = {
    ops.Field: lambda node: None if kind_of(node.dtype) else (
        f"the column {node.name!r} is of type {node.dtype}", "declare it with one of the column types"
    ),
    ops.Literal: constant,
    ops.Pi: free,
    ops.E: free,
    **dict.fromkeys((ops.Add, ops.Subtract, ops.Multiply, ops.Divide, ops.FloorDivide, ops.Power), _NUMBERS),
    ops.Modulus: modulus,
    **dict.fromkeys((ops.Negate, ops.Abs, ops.Sign, ops.Floor, ops.Ceil, ops.Sqrt, ops.Exp), _NUMBER),
    **dict.fromkeys((ops.Ln, ops.Log2, ops.Log10, ops.Sin, ops.Cos), _NUMBER),
    ops.Log: logarithm,
    ops.Round: constants(rounding, "digits", low=-15, high=15),
    ops.Clip: clipping,
    ops.Greatest: alike("compare values of one type", "arg", kinds="int float time"),
    ops.Least: alike("compare values of one type", "arg", kinds="int float time"),
    **dict.fromkeys((ops.Equals, ops.NotEquals), _EQUAL),
    **dict.fromkeys((ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual), _ORDER),
    ops.Between: alike(
        "compare values of one type", "arg", "lower_bound", "upper_bound", kinds="int float str time"
    ),
    ops.InValues: in_values,
    **dict.fromkeys((ops.And, ops.Or, ops.Xor), _LOGIC),
    ops.Not: operands("compare it with something", arg="bool"),
    ops.IsNull: operands("ask it of a column", arg="int float str bool time null"),
    ops.NotNull: operands("ask it of a column", arg="int float str bool time null"),
    ops.Coalesce: alike("replace a null by a value of the same type", "arg"),
    ops.NullIf: alike("compare values of one type", "arg", "null_if_expr"),
    ops.IfElse: alike("give both results one type", "true_expr", "false_null_expr"),
    ops.SearchedCase: alike("give every result one type", "results", "default"),
    ops.SimpleCase: lambda node: (
        alike("give every result one type", "results", "default")(node)
        or alike("compare values of one type", "base", "cases")(node)
    ),
    ops.Cast: casting,
    ops.TryCast: casting,
    ops.StringConcat: free,
    **dict.fromkeys(
        (ops.Uppercase, ops.Lowercase, ops.Strip, ops.LStrip, ops.RStrip, ops.StringLength), free
    ),
    **dict.fromkeys((ops.StringContains, ops.StartsWith, ops.EndsWith), free),
    ops.StringReplace: replacing,
    ops.Substring: constants(free, "start", "length"),
    ops.StringSlice: constants(free, "start", "end"),
    ops.StrRight: constants(free, "nchars"),
    ops.LPad: constants(padding, "length"),
    ops.RPad: constants(padding, "length"),
    ops.StringSQLLike: like_pattern,
    ops.RegexSearch: pattern,
    ops.RegexExtract: pattern,
    **dict.fromkeys(
        (
            ops.ExtractYear, ops.ExtractQuarter, ops.ExtractMonth, ops.ExtractDay, ops.ExtractDayOfYear,
            ops.ExtractWeekOfYear, ops.ExtractHour, ops.ExtractMinute, ops.ExtractSecond, ops.ExtractMillisecond,
            ops.ExtractEpochSeconds, ops.DayOfWeekIndex,
        ),
        _PART,
    ),
    ops.TimestampTruncate: truncating,
    ops.TimestampDelta: difference,
    ops.TimestampAdd: shifting,
    ops.TimestampSub: shifting,
    ops.IntervalAdd: interval,
    ops.IntervalSubtract: interval,
}  # fmt: skip
