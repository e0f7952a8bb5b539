"""The allow-list: the operations of an expression that mean the same on DuckDB, on Flink and in Python.

What each of them means is the table of rewrites.py. Everything that is not listed here is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.patterns import regex
from headrace.compile.refusals import REFUSED, Refusal, words
from headrace.errors import ExpressionError

Check = Callable[[Any], Refusal | None]

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
TRUNCATIONS: Final = ("s", "m", "h", "D", "M", "Q", "Y")
DELTAS: Final = ("second", "minute", "hour", "day", "month", "quarter", "year")
LATEST: Final = 253_402_300_799_999
"""The last ms of the year 9999."""
LONGEST: Final = 1_000
"""The longest padding, and the highest count of characters that an operation may name."""

_SHIFTS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "D": 86_400_000, "W": 604_800_000}


def kind_of(dtype: dt.DataType) -> str | None:
    """The kind of an ibis type: one of declare's five, "null", or None."""
    if dtype.is_null():
        return "null"
    if dtype.is_boolean():
        return "bool"
    if dtype.is_string():
        return "str"
    if dtype.is_integer() and not dtype.is_uint64():
        return "int"
    if dtype.is_floating():
        return "float"
    if dtype.is_timestamp() and dtype.timezone in (None, "UTC"):
        return "time"
    return None


def shift_of(interval: Any) -> int | None:
    """The ms of a constant interval of weeks, days, hours, minutes and seconds; None for any other."""
    if isinstance(interval, ops.IntervalAdd | ops.IntervalSubtract):
        left, right = shift_of(interval.left), shift_of(interval.right)
        if left is None or right is None:
            return None
        return left + right if isinstance(interval, ops.IntervalAdd) else left - right
    if not isinstance(interval, ops.Literal) or not isinstance(interval.value, int):
        return None
    unit = _SHIFTS.get(interval.dtype.unit.short) if interval.dtype.is_interval() else None
    return None if unit is None else interval.value * unit


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


def _type(node: Any) -> str:
    """The type of a value in a user's words."""
    return kind_of(node.dtype) or str(node.dtype).removeprefix("!")


def _free(node: Any) -> None:
    return None


def _operands(remedy: str, **kinds: str) -> Check:
    """Each named operand is of one of the kinds in its text."""
    allowed = {name: set(text.split()) for name, text in kinds.items()}

    def run(node: Any) -> Refusal | None:
        for name, wanted in allowed.items():
            operand = getattr(node, name)
            if operand is not None and kind_of(operand.dtype) not in wanted:
                return f"{words(node)} of {_type(operand)} is not allowed", remedy
        return None

    return run


def _constants(check: Check, *names: str, low: int = 0, high: int = LONGEST) -> Check:
    """Each named int operand is a constant in a range."""

    def run(node: Any) -> Refusal | None:
        for name in names:
            operand = getattr(node, name)
            if operand is None:
                continue
            value = operand.value if isinstance(operand, ops.Literal) else None
            if not isinstance(value, int) or not low <= value <= high:
                return f"the {name} of {words(node)} is not a constant from {low} to {high}", "write such a number"
        return check(node)

    return run


def _alike(remedy: str, *names: str, kinds: str = "int float str bool time") -> Check:
    """All named operands are of one kind, int and float counting as one, nulls aside."""
    allowed = set(kinds.split())

    def run(node: Any) -> Refusal | None:
        found: set[Any] = set()
        for name in names:
            operand = getattr(node, name)
            for each in operand if isinstance(operand, tuple) else (operand,):
                kind = None if each is None else kind_of(each.dtype)
                if each is not None and kind not in allowed | {"null"}:
                    return f"{words(node)} of {_type(each)} is not allowed", remedy
                found.add("number" if kind in ("int", "float") else kind)
        if len(found - {"null", None}) != 1:
            return f"{words(node)} of {' and '.join(sorted(map(str, found - {None})))} is not allowed", remedy
        return None

    return run


def _literal(node: Any) -> Refusal | None:
    value, kind = node.value, kind_of(node.dtype)
    if node.dtype.is_interval() or value is None:
        return None
    if kind is None:
        return f"the constant {value!r} is of type {node.dtype}", "use a str, int, float, bool or a time in UTC"
    if kind == "int" and not INT_MIN <= value <= INT_MAX:
        return f"the constant {value} does not fit into int64", "write it as a float"
    if kind == "float" and not math.isfinite(value):
        return f"the constant {value} is not finite", "write ibis.null(float)"
    if kind == "str" and ("\x00" in value or any("\ud800" <= char <= "\udfff" for char in value)):
        return f"the constant {value!r} is not text", "leave out NUL and lone surrogates"
    if kind == "time" and (value.microsecond % 1_000 or value.year < 1970):
        return f"the constant {value} is outside of whole ms from 1970 on", "round it to ms"
    return None


def _cast(node: Any) -> Refusal | None:
    old, new = kind_of(node.arg.dtype), kind_of(node.to)
    if new in ("int", "float") and node.to.nbytes != 8:
        return f"a cast to {node.to} is narrower than every engine's 64 bits", f"cast to {new}64"
    if isinstance(node, ops.TryCast):
        if old == "str" and new not in ("int", "float"):
            return f"a try_cast of a string to {node.to} differs between engines", "try_cast to int or float only"
        if old == "str":
            return None
    if old == "null" and new in ("int", "float", "str", "bool", "time"):
        return None
    if old == "str" and new in ("int", "float"):
        return f"a cast of a string to {node.to} fails on text that is no number", f'write .try_cast("{new}")'
    if old in ("float", "time") and new == "str":
        name = "float" if old == "float" else "time"
        remedy = "cast it to int first, or keep the number" if name == "float" else "use year(), month(), day()..."
        return f"each engine writes a {name} differently as a string", remedy
    if old == new or (old, new) in _CASTS:
        return None
    remedy = "write x != 0" if new == "bool" else "use epoch_seconds()" if old == "time" else "use another type"
    return f"a cast of {_type(node.arg)} to {node.to} is not allowed", remedy


_CASTS: Final = {
    ("int", "float"), ("float", "int"), ("bool", "int"), ("bool", "float"), ("int", "str"), ("bool", "str"),
}  # fmt: skip


def _modulus(node: Any) -> Refusal | None:
    if kind_of(node.left.dtype) == kind_of(node.right.dtype) == "int":
        return None
    return "% of floats differs between engines", "cast both sides to int, or write x - (x // y) * y"


def _truncate(node: Any) -> Refusal | None:
    if node.unit.short in TRUNCATIONS:
        return None
    if node.unit.short == "W":
        return "weeks begin on another day on each engine", "subtract day_of_week.index() days, or truncate to D"
    return f"truncate to {node.unit.short!r} is not allowed", f"use one of {', '.join(TRUNCATIONS)}"


def _delta(node: Any) -> Refusal | None:
    unit = node.part.value if isinstance(node.part, ops.Literal) else None
    if unit in DELTAS:
        return _operands("compare two times", left="time", right="time")(node)
    return f"delta in {unit!r} is not allowed", f"use a unit of {', '.join(DELTAS)}"


def _shift(node: Any) -> Refusal | None:
    if kind_of(node.left.dtype) != "time":
        return f"{words(node)} of {_type(node.left)} is not allowed", "use a time in UTC"
    by = shift_of(node.right)
    if by is not None and abs(by) > LATEST:
        return "the interval is longer than the years 1970 to 9999", "add a shorter one"
    if by is None:
        return "only a constant interval of weeks down to seconds can be added to a time", (
            "write t + ibis.interval(days=7)"
        )
    return None


def _interval(node: Any) -> Refusal | None:
    return None if shift_of(node) is not None else ("the interval is not constant", "write ibis.interval(days=7)")


def _in_values(node: Any) -> Refusal | None:
    if any(option.dtype.is_null() or getattr(option, "value", 0) is None for option in node.options):
        return "isin has a null in its list", "leave it out, and write | x.isnull()"
    return _alike("list values of one type", "value", "options")(node)


def _pattern(node: Any) -> Refusal | None:
    text = node.pattern.value if isinstance(node.pattern, ops.Literal) else None
    if not isinstance(text, str):
        return "the pattern of a regular expression is not a constant", "write it as a string"
    found = regex(text)
    if isinstance(found, str):
        return found, "use what headrace.compile.patterns lists"
    if isinstance(node, ops.RegexExtract):
        index = node.index.value if isinstance(node.index, ops.Literal) else None
        if not isinstance(index, int) or not 0 <= index <= found.python.groups:
            return f"re_extract asks for group {index} of {found.python.groups}", "name a group that is there"
    return None


def _like(node: Any) -> Refusal | None:
    text = node.pattern.value if isinstance(node.pattern, ops.Literal) else None
    if not isinstance(text, str) or node.escape is not None or "\\" in text:
        return "like takes a constant pattern without escapes", "use contains, startswith or re_search"
    return None


def _replace(node: Any) -> Refusal | None:
    text = node.pattern.value if isinstance(node.pattern, ops.Literal) else None
    return None if text else ("replace takes a constant text that is not empty", "name what is to be replaced")


def _pad(node: Any) -> Refusal | None:
    text = node.pad.value if isinstance(node.pad, ops.Literal) else None
    return None if isinstance(text, str) and len(text) == 1 else ("a pad is one character", "write one character")


def _round(node: Any) -> Refusal | None:
    return _operands("round a number", arg="int float")(node)


def _clip(node: Any) -> Refusal | None:
    numbers = "int float"
    refusal = _operands("clip a number between numbers", arg=numbers, lower=numbers, upper=numbers)(node)
    bounds = {kind_of(bound.dtype) for bound in (node.lower, node.upper) if bound is not None}
    if refusal is None and kind_of(node.arg.dtype) == "int" and "float" in bounds:
        return "clip of an int between floats is neither", "cast the column to float, or write whole bounds"
    return refusal


def _log(node: Any) -> Refusal | None:
    if node.base is not None:
        return "log to a base differs between engines", "write .ln(), .log2(), .log10(), or a quotient of two .ln()"
    return _operands("take it of a number", arg="int float")(node)


_NUMBERS: Final = _operands("cast it to int or float", left="int float", right="int float")
_NUMBER: Final = _operands("cast it to int or float", arg="int float")
_LOGIC: Final = _operands("compare it with something", left="bool", right="bool")
_EQUAL: Final = _alike("cast one side; for a time, write ibis.timestamp('2024-01-31')", "left", "right")
_ORDER: Final = _alike(
    "cast one side; for a time, write ibis.timestamp('2024-01-31')", "left", "right", kinds="int float str time"
)
_PART: Final = _operands("use a time in UTC", arg="time")

ALLOWED: Final[dict[type, Check]] = {
    ops.Field: lambda node: None if kind_of(node.dtype) else (
        f"the column {node.name!r} is of type {node.dtype}", "declare it with one of the column types"
    ),
    ops.Literal: _literal,
    ops.Pi: _free,
    ops.E: _free,
    **dict.fromkeys((ops.Add, ops.Subtract, ops.Multiply, ops.Divide, ops.FloorDivide, ops.Power), _NUMBERS),
    ops.Modulus: _modulus,
    **dict.fromkeys((ops.Negate, ops.Abs, ops.Sign, ops.Floor, ops.Ceil, ops.Sqrt, ops.Exp), _NUMBER),
    **dict.fromkeys((ops.Ln, ops.Log2, ops.Log10, ops.Sin, ops.Cos), _NUMBER),
    ops.Log: _log,
    ops.Round: _constants(_round, "digits", low=-15, high=15),
    ops.Clip: _clip,
    ops.Greatest: _alike("compare values of one type", "arg", kinds="int float time"),
    ops.Least: _alike("compare values of one type", "arg", kinds="int float time"),
    **dict.fromkeys((ops.Equals, ops.NotEquals), _EQUAL),
    **dict.fromkeys((ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual), _ORDER),
    ops.Between: _alike(
        "compare values of one type", "arg", "lower_bound", "upper_bound", kinds="int float str time"
    ),
    ops.InValues: _in_values,
    **dict.fromkeys((ops.And, ops.Or, ops.Xor), _LOGIC),
    ops.Not: _operands("compare it with something", arg="bool"),
    ops.IsNull: _operands("ask it of a column", arg="int float str bool time null"),
    ops.NotNull: _operands("ask it of a column", arg="int float str bool time null"),
    ops.Coalesce: _alike("replace a null by a value of the same type", "arg"),
    ops.NullIf: _alike("compare values of one type", "arg", "null_if_expr"),
    ops.IfElse: _alike("give both results one type", "true_expr", "false_null_expr"),
    ops.SearchedCase: _alike("give every result one type", "results", "default"),
    ops.SimpleCase: lambda node: (
        _alike("give every result one type", "results", "default")(node)
        or _alike("compare values of one type", "base", "cases")(node)
    ),
    ops.Cast: _cast,
    ops.TryCast: _cast,
    ops.StringConcat: _free,
    **dict.fromkeys(
        (ops.Uppercase, ops.Lowercase, ops.Strip, ops.LStrip, ops.RStrip, ops.StringLength), _free
    ),
    **dict.fromkeys((ops.StringContains, ops.StartsWith, ops.EndsWith), _free),
    ops.StringReplace: _replace,
    ops.Substring: _constants(_free, "start", "length"),
    ops.StringSlice: _constants(_free, "start", "end"),
    ops.StrRight: _constants(_free, "nchars"),
    ops.LPad: _constants(_pad, "length"),
    ops.RPad: _constants(_pad, "length"),
    ops.StringSQLLike: _like,
    ops.RegexSearch: _pattern,
    ops.RegexExtract: _pattern,
    **dict.fromkeys(
        (
            ops.ExtractYear, ops.ExtractQuarter, ops.ExtractMonth, ops.ExtractDay, ops.ExtractDayOfYear,
            ops.ExtractWeekOfYear, ops.ExtractHour, ops.ExtractMinute, ops.ExtractSecond, ops.ExtractMillisecond,
            ops.ExtractEpochSeconds, ops.DayOfWeekIndex,
        ),
        _PART,
    ),
    ops.TimestampTruncate: _truncate,
    ops.TimestampDelta: _delta,
    ops.TimestampAdd: _shift,
    ops.TimestampSub: _shift,
    ops.IntervalAdd: _interval,
    ops.IntervalSubtract: _interval,
}  # fmt: skip
