"""The Flink SQL target (2.2 and newer). Times are TIMESTAMP(3), in UTC.

The text does not depend on the session's time zone. Flink has no error for an int64 overflow, it wraps: arithmetic
on whole numbers is by functions of the project's jar, which give null there, and `overflow` tells where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.kinds import kind_of
from headrace.compile.operations import Finite, Shift, ToInt, Whole
from headrace.compile.patterns import Regex, regex
from headrace.compile.rewrites import core
from headrace.compile.sql import (
    FLOAT_TEXT,
    INT_TEXT,
    SHARED,
    UNITS,
    WHITE,
    Dialect,
    Rule,
    children,
    floor_divide,
    quoted,
    shifted,
)

_DAY: Final = 86_400_000


def select(expressions: Mapping[str, ir.Value], source: str = "record", keep: Sequence[str] = ()) -> str:
    """`SELECT <keep>, <expression> AS <name>, ... FROM <source>`; a predicate is a column of booleans.

    >>> import ibis
    >>> sale = ibis.table({"units": "int64", "sku": "string"}, name="record")
    >>> print(select({"size": sale.sku.length()}, keep=["units"]))
    SELECT
      `units`,
      CAST(CHAR_LENGTH(`sku`) AS BIGINT) AS `size`
    FROM `record`
    """
    return _FLINK.select(expressions, source, keep)


def expression(value: ir.Value, subject: str) -> str:
    """One expression over the columns in scope. Where a whole number leaves 64 bits it is null: see `overflow`.

    >>> import ibis
    >>> expression(ibis.table({"units": "int64"}, name="record").units * 2, "twice")
    'hr_mul(`units`, CAST(2 AS BIGINT))'
    """
    return _FLINK.text(core(value, subject))


def overflow(value: ir.Value, subject: str) -> str | None:
    """A condition that is true where computing an expression leaves 64 bits; None where it never can.

    It follows the branches of a case and of a coalesce as they are taken.

    >>> import ibis
    >>> sale = ibis.table({"units": "int64"}, name="record")
    >>> overflow(sale.units * 2, "twice"), overflow(sale.units > 2, "many")
    ("hr_overflows('*', `units`, CAST(2 AS BIGINT))", None)
    """
    return _overflow(core(value, subject), {})


_SIGNS: Final[Mapping[type, str]] = {
    ops.Add: "+", ops.Subtract: "-", ops.Multiply: "*", ops.FloorDivide: "/", ops.Modulus: "%"
}  # fmt: skip


def _overflow(node: Any, known: dict[Any, str | None]) -> str | None:
    if node not in known:
        known[node] = _any(_overflows(node, known))
    return known[node]


def _overflows(node: Any, known: dict[Any, str | None]) -> list[str | None]:
    if isinstance(node, ops.SearchedCase):
        conditions = [_FLINK.text(case) for case in node.cases]
        results = [_overflow(result, known) for result in (*node.results, node.default)]
        return [_any(_overflow(case, known) for case in node.cases), _branches(conditions, results)]
    if isinstance(node, ops.Coalesce):
        taken = [f"{_FLINK.text(arg)} IS NOT NULL" for arg in node.arg[:-1]]
        later = [None, *(_overflow(arg, known) for arg in node.arg[1:])]
        return [_overflow(node.arg[0], known), _branches(taken, later)]
    found = [_overflow(child, known) for child in children(node)]
    if isinstance(node, ops.Value) and node.dtype.is_integer():
        sign = _SIGNS.get(type(node))
        if sign is not None:
            found.append(f"hr_overflows('{sign}', {_FLINK.text(node.left)}, {_FLINK.text(node.right)})")
        elif isinstance(node, ops.Abs):
            found.append(f"hr_overflows('-', CAST(0 AS BIGINT), {_FLINK.text(node.arg)})")
    return found


def _any(conditions: Iterable[str | None]) -> str | None:
    found = list(dict.fromkeys(each for each in conditions if each is not None))
    return None if not found else found[0] if len(found) == 1 else f"({' OR '.join(found)})"


def _branches(conditions: Sequence[str], results: Sequence[str | None]) -> str | None:
    if all(result is None for result in results):
        return None
    pairs = zip(conditions, results[:-1], strict=True)
    whens = " ".join(f"WHEN {condition} THEN {result or 'FALSE'}" for condition, result in pairs)
    return f"CASE {whens} ELSE {results[-1] or 'FALSE'} END"


def _whole_or(function: str, otherwise: str) -> Rule:
    """Of whole numbers a function of the jar: null where Flink's own operator would wrap."""

    def rule(node: Any, parts: Sequence[str]) -> str:
        return f"{function}({', '.join(parts)})" if node.dtype.is_integer() else otherwise.format(*parts)

    return rule


def _ordered(sign: str) -> Rule:
    """A comparison; texts by code point, with a function of the jar."""

    def rule(node: Any, parts: Sequence[str]) -> str:
        left, right = parts
        if node.left.dtype.is_string() or node.right.dtype.is_string():
            return f"(hr_compare({left}, {right}) {sign} 0)"
        return f"({left} {sign} {right})"

    return rule


def _divide(node: Any, parts: Sequence[str]) -> str:
    """A divisor that is constant may be null or 0, at which Flink's planner fails: it is hidden from it."""
    constant = not node.right.find(ops.Field)
    literal = isinstance(node.right, ops.Literal) and node.right.value
    return f"hr_divide({parts[0]}, {parts[1]})" if constant and not literal else f"({parts[0]} / {parts[1]})"


def _skipping_nulls(function: str) -> Rule:
    """Flink's GREATEST is null where any operand is: give it for each operand the first that is not null."""

    def rule(node: Any, parts: Sequence[str]) -> str:
        turned = [f"COALESCE({', '.join([*parts[i:], *parts[:i]])})" for i in range(len(parts))]
        return f"{function}({', '.join(turned)})"

    return rule


def _whole(node: Any, parts: Sequence[str]) -> str:
    if node.how in ("floor", "ceil"):
        return f"{node.how.upper()}({parts[0]})"
    # Flink's own TRUNCATE fails on large ones
    return f"ROUND({parts[0]}, 0)" if node.how == "round" else f"hr_truncate({parts[0]})"


def _try_cast(node: Any, parts: Sequence[str]) -> str:
    text, kind = (INT_TEXT, "BIGINT") if node.to.is_integer() else (FLOAT_TEXT, "DOUBLE")
    return f"CASE WHEN REGEXP({parts[0]}, {quoted(f'^(?:{text})' + _END)}) THEN TRY_CAST({parts[0]} AS {kind}) END"


def _padding(node: Any, parts: Sequence[str]) -> tuple[str, str]:
    length = node.length.value
    return f"CASE WHEN CHAR_LENGTH({parts[0]}) >= {length} THEN {parts[0]} ELSE ", (
        f"REPEAT({parts[2]}, {length} - CHAR_LENGTH({parts[0]}))"
    )


def _left_pad(node: Any, parts: Sequence[str]) -> str:
    whole, pad = _padding(node, parts)
    return f"{whole}{pad} || {parts[0]} END"


def _right_pad(node: Any, parts: Sequence[str]) -> str:
    whole, pad = _padding(node, parts)
    return f"{whole}{parts[0]} || {pad} END"


def _pattern(node: Any) -> str:
    found = regex(node.pattern.value)
    assert isinstance(found, Regex)
    return quoted(found.java)


def _moved(time: str, by: int) -> str:
    days = int(by / _DAY)
    seconds = (by - days * _DAY) // 1_000
    if days:
        time = f"TIMESTAMPADD(DAY, {days}, {time})"
    return f"TIMESTAMPADD(SECOND, {seconds}, {time})" if seconds or not days else time


_EPOCH_SECONDS: Final = (
    "(CAST(TIMESTAMPDIFF(DAY, TIMESTAMP '1970-01-01 00:00:00', {0}) AS BIGINT) * 86400"
    " + EXTRACT(HOUR FROM {0}) * 3600 + EXTRACT(MINUTE FROM {0}) * 60 + EXTRACT(SECOND FROM {0}))"
)


def _delta(node: Any, parts: Sequence[str]) -> str:
    unit = node.part.value.upper()
    if unit == "MINUTE":  # TIMESTAMPDIFF is of 32 bits, which minutes can leave
        later, earlier = (f"{_EPOCH_SECONDS.format(parts[place])} / 60" for place in (1, 2))
        return f"({later} - {earlier})"
    return f"CAST(TIMESTAMPDIFF({unit}, FLOOR({parts[2]} TO {unit}), FLOOR({parts[1]} TO {unit})) AS BIGINT)"


def _cast(node: Any, parts: Sequence[str]) -> str:
    return f"CAST({parts[0]} AS {TYPES[str(kind_of(node.to))]})"


_END: Final = r"\z"
TYPES: Final = {"int": "BIGINT", "float": "DOUBLE", "str": "STRING", "bool": "BOOLEAN", "time": "TIMESTAMP(3)"}
_FLINK: Final = Dialect(
    quote="`",
    types=TYPES,
    rules={
        **SHARED,
        ops.Add: _whole_or("hr_add", "({0} + {1})"),
        ops.Subtract: _whole_or("hr_sub", "({0} - {1})"),
        ops.Multiply: _whole_or("hr_mul", "({0} * {1})"),
        ops.Divide: _divide,
        ops.Less: _ordered("<"),
        ops.LessEqual: _ordered("<="),
        ops.Greater: _ordered(">"),
        ops.GreaterEqual: _ordered(">="),
        ops.Abs: _whole_or("hr_abs", "ABS({0})"),
        Finite: "CASE WHEN ABS({0}) <= 1.7976931348623157e308 THEN {0} END",
        Whole: _whole,
        ToInt: (
            "CASE WHEN {0} >= -9.223372036854775808e18 AND {0} < 9.223372036854775808e18 "
            "THEN CAST({0} AS BIGINT) END"
        ),
        Shift: shifted(_moved),
        ops.FloorDivide: floor_divide("{0} / {1}", "MOD({0}, {1})"),
        ops.Modulus: "MOD({0}, {1})",
        ops.Sign: lambda node, parts: (
            f"CAST(SIGN({parts[0]}) AS {'BIGINT' if node.arg.dtype.is_integer() else 'DOUBLE'})"
        ),
        ops.Greatest: _skipping_nulls("GREATEST"),
        ops.Least: _skipping_nulls("LEAST"),
        ops.Cast: _cast,
        ops.TryCast: _try_cast,
        ops.StringLength: "CAST(CHAR_LENGTH({0}) AS BIGINT)",
        ops.StringContains: "(LOCATE({1}, {0}) > 0)",
        ops.StartsWith: "STARTSWITH({0}, {1})",
        ops.EndsWith: "ENDSWITH({0}, {1})",
        ops.Strip: f"TRIM(TRAILING {quoted(WHITE)} FROM TRIM(LEADING {quoted(WHITE)} FROM {{0}}))",
        ops.LStrip: f"TRIM(LEADING {quoted(WHITE)} FROM {{0}})",
        ops.RStrip: f"TRIM(TRAILING {quoted(WHITE)} FROM {{0}})",
        ops.StrRight: lambda node, parts: f"RIGHT({parts[0]}, {node.nchars.value})",
        ops.Substring: lambda node, parts: (
            f"SUBSTRING({parts[0]}, {node.start.value + 1}"
            + (")" if node.length is None else f", {node.length.value})")
        ),
        ops.LPad: _left_pad,
        ops.RPad: _right_pad,
        ops.RegexSearch: lambda node, parts: f"REGEXP({parts[0]}, {_pattern(node)})",
        ops.RegexExtract: lambda node, parts: (
            f"CASE WHEN REGEXP({parts[0]}, {_pattern(node)}) "
            f"THEN COALESCE(REGEXP_EXTRACT({parts[0]}, {_pattern(node)}, {node.index.value}), '') END"
        ),
        ops.ExtractMillisecond: "EXTRACT(MILLISECOND FROM {0})",
        ops.ExtractEpochSeconds: _EPOCH_SECONDS,
        ops.DayOfWeekIndex: "CAST(MOD(DAYOFWEEK({0}) + 5, 7) AS BIGINT)",
        ops.ExtractDayOfYear: "CAST(DAYOFYEAR({0}) AS BIGINT)",
        ops.TimestampTruncate: lambda node, parts: f"FLOOR({parts[0]} TO {UNITS[node.unit.short]})",
        ops.TimestampDelta: _delta,
    },
)  # fmt: skip
