"""How Python spells each operation of the core, given operands that are not null."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import ibis.expr.operations as ops

from headrace.compile import calendar, numbers
from headrace.compile.operations import Shift, ToInt, Whole
from headrace.compile.patterns import Regex, like, regex
from headrace.compile.sql import WHITE
from headrace.declare.instant import LATEST

Rule = str | Callable[[Any], tuple[str, Any]]
"""A template over the operands, or a function that gives it together with a constant that it calls `{k}`."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def constant_of(value: datetime) -> int:
    """The ms of a constant time.

    >>> constant_of(datetime(1970, 1, 2))
    86400000
    """
    gap = value.replace(tzinfo=UTC) - _EPOCH
    return gap.days * 86_400_000 + gap.seconds * 1_000 + gap.microseconds // 1_000


def _pattern(node: Any) -> Any:
    found = regex(node.pattern.value)
    assert isinstance(found, Regex)
    return found.python.search


def _extract(node: Any) -> tuple[str, Any]:
    return f"((m[{node.index.value}] or '') if (m := {{k}}({{0}})) is not None else None)", _pattern(node)


def _sign(node: Any) -> tuple[str, Any]:
    text = "(({0} > 0) - ({0} < 0))"
    return (text if node.arg.dtype.is_integer() else f"float{text}"), None


def _cast(node: Any) -> tuple[str, Any]:
    return ("str" if node.to.is_string() else "int" if node.to.is_integer() else "float") + "({0})", None


def _try_cast(node: Any) -> tuple[str, Any]:
    return ("_try_int({0})" if node.to.is_integer() else "_try_float({0})"), None


def _substring(node: Any) -> tuple[str, Any]:
    start = node.start.value
    end = "" if node.length is None else start + node.length.value
    return f"{{0}}[{start}:{end}]", None


def _translate(node: Any) -> tuple[str, Any]:
    return "{0}.translate({k})", str.maketrans(node.from_str.value, node.to_str.value)


def _right(node: Any) -> tuple[str, Any]:
    return (f"{{0}}[-{node.nchars.value}:]" if node.nchars.value else "{0}[:0]"), None


def _truncate(node: Any) -> tuple[str, Any]:
    unit = node.unit.short
    length = calendar.FIXED.get(unit)
    return ("{k}({0})", calendar.TRUNCATE[unit]) if length is None else (f"{{0}} - {{0}} % {length}", None)


def _delta(node: Any) -> tuple[str, Any]:
    unit = node.part.value
    step = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}.get(unit)
    if step is not None:
        return f"{{1}} // {step} - {{2}} // {step}", None
    count = {"month": 1, "quarter": 3, "year": 12}[unit]
    return f"_months({{1}}) // {count} - _months({{2}}) // {count}", None


def _day_part(place: int) -> str:
    return f"_day_parts({{0}} // 86400000)[{place}]"


FUNCTIONS: Final[dict[str, Any]] = {
    "_power": numbers.power,
    "_exp": numbers.exp,
    "_to_int": numbers.to_int,
    "_try_int": numbers.try_int,
    "_try_float": numbers.try_float,
    "_remainder": numbers.remainder,
    "_sqrt": math.sqrt,
    "_ln": math.log,
    "_log2": math.log2,
    "_log10": math.log10,
    "_sin": math.sin,
    "_cos": math.cos,
    "_day_parts": calendar.day_parts,
    "_months": calendar.months,
}

_RANGE: Final = "not {low} <= {value} <= {high}"
CHECKED: Final[dict[type, str]] = {
    **dict.fromkeys((ops.Add, ops.Subtract, ops.Multiply, ops.Abs, ops.FloorDivide), _RANGE),
    ops.Modulus: "{value} == 0 and {0} == {low} and {1} == -1",
}
"""The int operations that can overflow, and the test that says that they did."""

SELDOM_NULL: Final = (
    ops.Sqrt, ops.Ln, ops.Log2, ops.Log10, ops.Power, ops.Exp, ops.TryCast, ops.RegexExtract, ToInt, Shift,
)  # fmt: skip
"""Operations that can be null though their operands are not."""

STRICT: Final[dict[type, Rule]] = {
    ops.Add: "{0} + {1}",
    ops.Subtract: "{0} - {1}",
    ops.Multiply: "{0} * {1}",
    ops.Divide: "{0} / {1}",
    ops.FloorDivide: "{0} // {1}",
    ops.Modulus: "_remainder({0}, {1})",
    ops.Negate: "-{0}",
    ops.Abs: "abs({0})",
    ops.Sign: _sign,
    ops.Sqrt: "(_sqrt({0}) if {0} >= 0.0 else None)",
    ops.Ln: "(_ln({0}) if {0} > 0.0 else None)",
    ops.Log2: "(_log2({0}) if {0} > 0.0 else None)",
    ops.Log10: "(_log10({0}) if {0} > 0.0 else None)",
    ops.Exp: "_exp({0})",
    ops.Power: "_power({0}, {1})",
    ops.Sin: "_sin({0})",
    ops.Cos: "_cos({0})",
    Whole: lambda node: ("{k}({0})", numbers.WHOLE[node.how]),
    ToInt: "_to_int({0})",
    ops.Equals: "{0} == {1}",
    ops.NotEquals: "{0} != {1}",
    ops.Less: "{0} < {1}",
    ops.LessEqual: "{0} <= {1}",
    ops.Greater: "{0} > {1}",
    ops.GreaterEqual: "{0} >= {1}",
    ops.Not: "not {0}",
    ops.InValues: lambda node: ("{0} in {k}", frozenset(_value(option) for option in node.options)),
    ops.Cast: _cast,
    ops.TryCast: _try_cast,
    ops.StringConcat: lambda node: (" + ".join(f"{{{i}}}" for i in range(len(node.arg))), None),
    ops.StringLength: "len({0})",
    ops.Translate: _translate,
    ops.Strip: lambda node: ("{0}.strip({k})", WHITE),
    ops.LStrip: lambda node: ("{0}.lstrip({k})", WHITE),
    ops.RStrip: lambda node: ("{0}.rstrip({k})", WHITE),
    ops.StringContains: "{1} in {0}",
    ops.StartsWith: "{0}.startswith({1})",
    ops.EndsWith: "{0}.endswith({1})",
    ops.StringReplace: "{0}.replace({1}, {2})",
    ops.Substring: _substring,
    ops.StrRight: _right,
    ops.LPad: "{0}.rjust({1}, {2})",
    ops.RPad: "{0}.ljust({1}, {2})",
    ops.StringSQLLike: lambda node: ("{k}({0}) is not None", like(node.pattern.value).fullmatch),
    ops.RegexSearch: lambda node: ("{k}({0}) is not None", _pattern(node)),
    ops.RegexExtract: _extract,
    ops.ExtractYear: _day_part(0),
    ops.ExtractMonth: _day_part(1),
    ops.ExtractDay: _day_part(2),
    ops.ExtractDayOfYear: _day_part(3),
    ops.ExtractWeekOfYear: _day_part(4),
    ops.ExtractQuarter: f"({_day_part(1)} + 2) // 3",
    ops.DayOfWeekIndex: "({0} // 86400000 + 3) % 7",
    ops.ExtractHour: "{0} // 3600000 % 24",
    ops.ExtractMinute: "{0} // 60000 % 60",
    ops.ExtractSecond: "{0} // 1000 % 60",
    ops.ExtractMillisecond: "{0} % 1000",
    ops.ExtractEpochSeconds: "{0} // 1000",
    ops.TimestampTruncate: _truncate,
    ops.TimestampDelta: _delta,
    Shift: lambda node: (f"(m if 0 <= (m := {{0}} + {node.by}) <= {LATEST} else None)", None),
}


def _value(option: Any) -> Any:
    return constant_of(option.value) if option.dtype.is_timestamp() else option.value
