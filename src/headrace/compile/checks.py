"""Checks of the allow-list: each looks at one operation's operands, and says why it is refused, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import ibis.expr.operations as ops

from headrace.compile.kinds import INT_MAX, INT_MIN, kind_of, shift_of
from headrace.compile.patterns import regex
from headrace.compile.refusals import Refusal, words
from headrace.declare.instant import LATEST

Check = Callable[[Any], Refusal | None]

TRUNCATIONS: Final = ("s", "m", "h", "D", "M", "Q", "Y")
DELTAS: Final = ("second", "minute", "hour", "day", "month", "quarter", "year")
LONGEST: Final = 1_000
"""The longest padding, and the highest count of characters that an operation may name."""


def _type(node: Any) -> str:
    """The type of a value in a user's words."""
    return kind_of(node.dtype) or str(node.dtype).removeprefix("!")


def free(node: Any) -> None:
    return None


def operands(remedy: str, **kinds: str) -> Check:
    """Each named operand is of one of the kinds in its text."""
    allowed = {name: set(text.split()) for name, text in kinds.items()}

    def run(node: Any) -> Refusal | None:
        for name, wanted in allowed.items():
            operand = getattr(node, name)
            if operand is not None and kind_of(operand.dtype) not in wanted:
                return f"{words(node)} of {_type(operand)} is not allowed", remedy
        return None

    return run


def constants(check: Check, *names: str, low: int = 0, high: int = LONGEST) -> Check:
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


def alike(remedy: str, *names: str, kinds: str = "int float str bool time") -> Check:
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


def constant(node: Any) -> Refusal | None:
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


def casting(node: Any) -> Refusal | None:
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


def modulus(node: Any) -> Refusal | None:
    if kind_of(node.left.dtype) == kind_of(node.right.dtype) == "int":
        return None
    return "% of floats differs between engines", "cast both sides to int, or write x - (x // y) * y"


def truncating(node: Any) -> Refusal | None:
    if node.unit.short in TRUNCATIONS:
        return None
    if node.unit.short == "W":
        return "weeks begin on another day on each engine", "subtract day_of_week.index() days, or truncate to D"
    return f"truncate to {node.unit.short!r} is not allowed", f"use one of {', '.join(TRUNCATIONS)}"


def difference(node: Any) -> Refusal | None:
    unit = node.part.value if isinstance(node.part, ops.Literal) else None
    if unit in DELTAS:
        return operands("compare two times", left="time", right="time")(node)
    return f"delta in {unit!r} is not allowed", f"use a unit of {', '.join(DELTAS)}"


def shifting(node: Any) -> Refusal | None:
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


def interval(node: Any) -> Refusal | None:
    return None if shift_of(node) is not None else ("the interval is not constant", "write ibis.interval(days=7)")


def in_values(node: Any) -> Refusal | None:
    if any(option.dtype.is_null() or getattr(option, "value", 0) is None for option in node.options):
        return "isin has a null in its list", "leave it out, and write | x.isnull()"
    return alike("list values of one type", "value", "options")(node)


def pattern(node: Any) -> Refusal | None:
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


def like_pattern(node: Any) -> Refusal | None:
    text = node.pattern.value if isinstance(node.pattern, ops.Literal) else None
    if not isinstance(text, str) or node.escape is not None or "\\" in text:
        return "like takes a constant pattern without escapes", "use contains, startswith or re_search"
    return None


def replacing(node: Any) -> Refusal | None:
    text = node.pattern.value if isinstance(node.pattern, ops.Literal) else None
    return None if text else ("replace takes a constant text that is not empty", "name what is to be replaced")


def padding(node: Any) -> Refusal | None:
    text = node.pad.value if isinstance(node.pad, ops.Literal) else None
    return None if isinstance(text, str) and len(text) == 1 else ("a pad is one character", "write one character")


def rounding(node: Any) -> Refusal | None:
    return operands("round a number", arg="int float")(node)


def clipping(node: Any) -> Refusal | None:
    numbers = "int float"
    refusal = operands("clip a number between numbers", arg=numbers, lower=numbers, upper=numbers)(node)
    bounds = {kind_of(bound.dtype) for bound in (node.lower, node.upper) if bound is not None}
    if refusal is None and kind_of(node.arg.dtype) == "int" and "float" in bounds:
        return "clip of an int between floats is neither", "cast the column to float, or write whole bounds"
    return refusal


def logarithm(node: Any) -> Refusal | None:
    if node.base is not None:
        return "log to a base differs between engines", "write .ln(), .log2(), .log10(), or a quotient of two .ln()"
    return operands("take it of a number", arg="int float")(node)
