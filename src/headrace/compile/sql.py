"""What the two SQL targets share: the walk over the core's operations, and the operations that both spell alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.kinds import kind_of
from headrace.compile.operations import Shift
from headrace.compile.rewrites import core
from headrace.declare.instant import LATEST

Rule = str | Callable[[Any, Sequence[str]], str]
"""A template over the texts of the operands, or a function of the node and those texts."""

Rules = Mapping[type, Rule]


@dataclass(frozen=True)
class Dialect:
    """How an engine quotes names, names types, and spells each operation of the core."""

    quote: str
    types: Mapping[str, str]
    rules: Rules

    def name(self, text: str) -> str:
        return self.quote + text.replace(self.quote, self.quote * 2) + self.quote

    def select(self, expressions: Mapping[str, ir.Value], source: str, keep: Sequence[str]) -> str:
        columns = [self.name(column) for column in keep]
        for name, expression in expressions.items():
            columns.append(f"{self.text(core(expression, name))} AS {self.name(name)}")
        return "SELECT\n  " + ",\n  ".join(columns) + f"\nFROM {self.name(source)}"

    def text(self, node: Any) -> str:
        """One value of the core's operations."""
        return self._text(node, {})

    def _text(self, node: Any, known: dict[Any, str]) -> str:
        found = known.get(node)
        if found is None:
            found = known[node] = self._spell(node, known)
        return found

    def _spell(self, node: Any, known: dict[Any, str]) -> str:
        if isinstance(node, ops.Field):
            return self.name(node.name)
        if isinstance(node, ops.Literal):
            return self._literal(node)
        parts = [self._text(child, known) for child in children(node)]
        rule = self.rules[type(node)]
        return rule.format(*parts) if isinstance(rule, str) else rule(node, parts)

    def _literal(self, node: Any) -> str:
        kind, value = str(kind_of(node.dtype)), node.value
        if value is None:
            return f"CAST(NULL AS {self.types[kind]})"
        if kind == "int":
            return f"CAST({value} AS {self.types[kind]})"
        if kind == "float":
            text = repr(float(value))
            text = text if "e" in text else text.removesuffix(".0") + "e0"
            return f"({text})" if text.startswith("-") else text
        if kind == "bool":
            return "TRUE" if value else "FALSE"
        return quoted(value) if kind == "str" else f"TIMESTAMP '{value.isoformat(' ', 'milliseconds')}'"


def children(node: Any) -> list[Any]:
    """The values that an operation is applied to, in order."""
    found: list[Any] = []
    for arg in node.args:
        found.extend(each for each in (arg if isinstance(arg, tuple) else (arg,)) if isinstance(each, ops.Value))
    return found


def quoted(text: str) -> str:
    """A string constant.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def instant(ms: int) -> str:
    """The constant of a time."""
    return f"TIMESTAMP '{(datetime(1970, 1, 1) + timedelta(milliseconds=ms)).isoformat(' ', 'milliseconds')}'"


def shifted(moved: Callable[[str, int], str]) -> Rule:
    """A time moved by some ms, or null where it leaves the years 1970 to 9999."""

    def rule(node: Shift, parts: Sequence[str]) -> str:
        (time,) = parts
        guard = f"{time} <= {instant(LATEST - node.by)}" if node.by >= 0 else f"{time} >= {instant(-node.by)}"
        return f"CASE WHEN {guard} THEN {moved(time, node.by)} END"

    return rule


def floor_divide(quotient: str, remainder: str) -> Rule:
    """The quotient rounded down, from one that is rounded toward zero."""

    def rule(node: Any, parts: Sequence[str]) -> str:
        left, right = parts
        known = isinstance(node.right, ops.Literal) and node.right.value
        rest = remainder.format(left, right)
        apart = f"({left} < 0) <> ({right} < 0) AND {rest} <> 0"
        if known:
            apart = f"{rest} < 0" if known > 0 else f"{rest} > 0"
        return f"({quotient.format(left, right)} - CASE WHEN {apart} THEN 1 ELSE 0 END)"

    return rule


def _case(node: Any, parts: Sequence[str]) -> str:
    count = len(node.cases)
    whens = " ".join(f"WHEN {parts[i]} THEN {parts[count + i]}" for i in range(count))
    return f"CASE {whens} ELSE {parts[-1]} END"


def listed(before: str, between: str = ", ", after: str = ")") -> Rule:
    """Any number of operands."""
    return lambda node, parts: before + between.join(parts) + after


SHARED: Final[Rules] = {
    ops.Add: "({0} + {1})",
    ops.Subtract: "({0} - {1})",
    ops.Multiply: "({0} * {1})",
    ops.Divide: "({0} / {1})",
    ops.Negate: "(-{0})",
    ops.Abs: "ABS({0})",
    ops.Sqrt: "SQRT({0})",
    ops.Exp: "EXP({0})",
    ops.Ln: "LN({0})",
    ops.Log2: "LOG2({0})",
    ops.Log10: "LOG10({0})",
    ops.Power: "POWER({0}, {1})",
    ops.Sin: "SIN({0})",
    ops.Cos: "COS({0})",
    ops.Equals: "({0} = {1})",
    ops.NotEquals: "({0} <> {1})",
    ops.Less: "({0} < {1})",
    ops.LessEqual: "({0} <= {1})",
    ops.Greater: "({0} > {1})",
    ops.GreaterEqual: "({0} >= {1})",
    ops.And: "({0} AND {1})",
    ops.Or: "({0} OR {1})",
    ops.Not: "(NOT {0})",
    ops.IsNull: "({0} IS NULL)",
    ops.NotNull: "({0} IS NOT NULL)",
    ops.InValues: lambda node, parts: f"({parts[0]} IN ({', '.join(parts[1:])}))",
    ops.SearchedCase: _case,
    ops.Coalesce: listed("COALESCE("),
    ops.NullIf: "NULLIF({0}, {1})",
    ops.StringConcat: listed("(", " || "),
    ops.Translate: "TRANSLATE({0}, {1}, {2})",
    ops.StringReplace: "REPLACE({0}, {1}, {2})",
    ops.StrRight: "RIGHT({0}, {1})",
    ops.StringSQLLike: "({0} LIKE {1})",
    ops.ExtractYear: "EXTRACT(YEAR FROM {0})",
    ops.ExtractQuarter: "EXTRACT(QUARTER FROM {0})",
    ops.ExtractMonth: "EXTRACT(MONTH FROM {0})",
    ops.ExtractDay: "EXTRACT(DAY FROM {0})",
    ops.ExtractDayOfYear: "EXTRACT(DOY FROM {0})",
    ops.ExtractWeekOfYear: "EXTRACT(WEEK FROM {0})",
    ops.ExtractHour: "EXTRACT(HOUR FROM {0})",
    ops.ExtractMinute: "EXTRACT(MINUTE FROM {0})",
    ops.ExtractSecond: "EXTRACT(SECOND FROM {0})",
}
UNITS: Final = {
    "s": "SECOND", "m": "MINUTE", "h": "HOUR", "D": "DAY", "M": "MONTH", "Q": "QUARTER", "Y": "YEAR",
}  # fmt: skip
INT_TEXT: Final = r"[+-]?[0-9]+"
FLOAT_TEXT: Final = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
WHITE: Final = " \t\n\r\x0b\x0c"
