"""The DuckDB target (2.0). Times are TIMESTAMP without a time zone, in UTC.

The text does not depend on the session's TimeZone. It needs DuckDB's default `ieee_floating_point_ops = true`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.kinds import kind_of
from headrace.compile.operations import Finite, Shift, ToInt, Whole
from headrace.compile.sql import (
    FLOAT_TEXT,
    INT_TEXT,
    SHARED,
    UNITS,
    WHITE,
    Dialect,
    Rule,
    floor_divide,
    listed,
    quoted,
    shifted,
)


def select(expressions: Mapping[str, ir.Value], source: str = "record", keep: Sequence[str] = ()) -> str:
    """`SELECT <keep>, <expression> AS <name>, ... FROM <source>`; a predicate is a column of booleans.

    >>> import ibis
    >>> sale = ibis.table({"units": "int64", "sku": "string"}, name="record")
    >>> print(select({"twice": sale.units * 2}, keep=["sku"]))
    SELECT
      "sku",
      ("units" * CAST(2 AS BIGINT)) AS "twice"
    FROM "record"
    """
    return _DUCKDB.select(expressions, source, keep)


def _try_cast(node: Any, parts: Sequence[str]) -> str:
    text, kind = (INT_TEXT, "BIGINT") if node.to.is_integer() else (FLOAT_TEXT, "DOUBLE")
    return f"CASE WHEN REGEXP_FULL_MATCH({parts[0]}, {quoted(text)}) THEN TRY_CAST({parts[0]} AS {kind}) END"


def _translate(node: Any, parts: Sequence[str]) -> str:
    """TRANSLATE is slow: it is kept for text that is not ASCII."""
    text, old, new = parts
    quick = "UPPER" if node.to_str.value.startswith("A") else "LOWER"
    return (
        f"CASE WHEN STRLEN({text}) = LENGTH({text}) THEN {quick}({text}) ELSE TRANSLATE({text}, {old}, {new}) END"
    )


def _whole(node: Any, parts: Sequence[str]) -> str:
    return f"{node.how.upper()}({parts[0]})"


def _pad(function: str) -> Rule:
    return lambda node, parts: (
        f"{function}({parts[0]}, CAST(GREATEST(LENGTH({parts[0]}), {node.length.value}) AS INTEGER), {parts[2]})"
    )


def _cast(node: Any, parts: Sequence[str]) -> str:
    return f"CAST({parts[0]} AS {_DUCKDB.types[str(kind_of(node.to))]})"


def _moved(time: str, by: int) -> str:
    return f"{time} + TO_MILLISECONDS({by})"


TYPES: Final = {"int": "BIGINT", "float": "DOUBLE", "str": "VARCHAR", "bool": "BOOLEAN", "time": "TIMESTAMP"}
"""The type of each kind of column."""
_DUCKDB: Final = Dialect(
    quote='"',
    types=TYPES,
    rules={
        **SHARED,
        Finite: "CASE WHEN ISFINITE({0}) THEN {0} END",
        Whole: _whole,
        ToInt: "TRY_CAST({0} AS BIGINT)",
        Shift: shifted(_moved),
        ops.FloorDivide: floor_divide("{0} // {1}", "{0} % {1}"),
        ops.Modulus: "({0} % {1})",
        ops.Sign: lambda node, parts: (
            f"CAST(SIGN({parts[0]}) AS {'BIGINT' if node.arg.dtype.is_integer() else 'DOUBLE'})"
        ),
        ops.Greatest: listed("GREATEST("),
        ops.Least: listed("LEAST("),
        ops.Cast: _cast,
        ops.TryCast: _try_cast,
        ops.Translate: _translate,
        ops.StringLength: "LENGTH({0})",
        ops.StringContains: "CONTAINS({0}, {1})",
        ops.StartsWith: "STARTS_WITH({0}, {1})",
        ops.EndsWith: "SUFFIX({0}, {1})",
        ops.Strip: f"TRIM({{0}}, {quoted(WHITE)})",
        ops.LStrip: f"LTRIM({{0}}, {quoted(WHITE)})",
        ops.RStrip: f"RTRIM({{0}}, {quoted(WHITE)})",
        ops.Substring: lambda node, parts: (
            f"SUBSTRING({parts[0]}, {node.start.value + 1}"
            + (")" if node.length is None else f", {node.length.value})")
        ),
        ops.LPad: _pad("LPAD"),
        ops.RPad: _pad("RPAD"),
        ops.RegexSearch: "REGEXP_MATCHES({0}, {1})",
        ops.RegexExtract: lambda node, parts: (
            f"CASE WHEN REGEXP_MATCHES({parts[0]}, {parts[1]}) "
            f"THEN REGEXP_EXTRACT({parts[0]}, {parts[1]}, {node.index.value}) END"
        ),
        ops.ExtractMillisecond: "(EXTRACT(MILLISECOND FROM {0}) % 1000)",
        ops.ExtractEpochSeconds: "(EPOCH_MS({0}) // 1000)",
        ops.DayOfWeekIndex: "(EXTRACT(ISODOW FROM {0}) - 1)",
        ops.TimestampTruncate: lambda node, parts: f"DATE_TRUNC('{UNITS[node.unit.short].lower()}', {parts[0]})",
        ops.TimestampDelta: lambda node, parts: f"DATE_DIFF('{node.part.value}', {parts[2]}, {parts[1]})",
    },
)  # fmt: skip
