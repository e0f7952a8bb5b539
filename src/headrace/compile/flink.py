"""The Flink SQL target (2.2 and newer). Times are TIMESTAMP(3), in UTC.

The text does not depend on the session's time zone. It is tested as text here; that Flink computes what DuckDB and
Python compute is tested with the Flink engine. Flink has no error for an int64 overflow: it wraps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.kinds import kind_of
from headrace.compile.operations import Finite, Shift, ToInt, Whole
from headrace.compile.patterns import Regex, regex
from headrace.compile.sql import (
    FLOAT_TEXT,
    INT_TEXT,
    SHARED,
    UNITS,
    WHITE,
    Dialect,
    Rule,
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


def _skipping_nulls(function: str) -> Rule:
    """Flink's GREATEST is null where any operand is: give it for each operand the first that is not null."""

    def rule(node: Any, parts: Sequence[str]) -> str:
        turned = [f"COALESCE({', '.join([*parts[i:], *parts[:i]])})" for i in range(len(parts))]
        return f"{function}({', '.join(turned)})"

    return rule


def _whole(node: Any, parts: Sequence[str]) -> str:
    if node.how in ("floor", "ceil"):
        return f"{node.how.upper()}({parts[0]})"
    return f"{'ROUND' if node.how == 'round' else 'TRUNCATE'}({parts[0]}, 0)"


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


def _delta(node: Any, parts: Sequence[str]) -> str:
    unit = node.part.value.upper()
    return f"CAST(TIMESTAMPDIFF({unit}, FLOOR({parts[2]} TO {unit}), FLOOR({parts[1]} TO {unit})) AS BIGINT)"


def _cast(node: Any, parts: Sequence[str]) -> str:
    return f"CAST({parts[0]} AS {_TYPES[str(kind_of(node.to))]})"


_END: Final = r"\z"
_TYPES: Final = {"int": "BIGINT", "float": "DOUBLE", "str": "STRING", "bool": "BOOLEAN", "time": "TIMESTAMP(3)"}
_FLINK: Final = Dialect(
    quote="`",
    types=_TYPES,
    rules={
        **SHARED,
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
        ops.ExtractEpochSeconds: (
            "(CAST(TIMESTAMPDIFF(DAY, TIMESTAMP '1970-01-01 00:00:00', {0}) AS BIGINT) * 86400"
            " + EXTRACT(HOUR FROM {0}) * 3600 + EXTRACT(MINUTE FROM {0}) * 60 + EXTRACT(SECOND FROM {0}))"
        ),
        ops.DayOfWeekIndex: "CAST(MOD(DAYOFWEEK({0}) + 5, 7) AS BIGINT)",
        ops.ExtractDayOfYear: "CAST(DAYOFYEAR({0}) AS BIGINT)",
        ops.TimestampTruncate: lambda node, parts: f"FLOOR({parts[0]} TO {UNITS[node.unit.short]})",
        ops.TimestampDelta: _delta,
    },
)  # fmt: skip
