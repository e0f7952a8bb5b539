"""What an expression means: one small core of operations, to which every allowed one is rewritten.

Each engine then has few operations to get right, and no implicit conversion to guess at. In the core
every value is an int64, a float64, a str, a bool or a time, and both sides of an operator are of one kind.

| edge | meaning on every engine |
|---|---|
| null | SQL's three-valued logic; an operation on null is null, unless it says otherwise |
| float that is not finite | null, wherever it comes from: a column, overflow, `x / 0`, sqrt or ln of a negative |
| sign of zero | not part of a value: -0.0 and 0.0 are the same, and nothing tells them apart |
| int overflow | an error on DuckDB and in Python (DuckDB may skip it where the value is not needed; Flink wraps) |
| `//` or `%` by 0 | null |
| `//` | rounds down; of floats too, and gives an int |
| `%` | of ints only; has the sign of the dividend, as in SQL; the least int `% -1` is an overflow |
| int with float | the int becomes a float first, also in comparisons and in int / int |
| float to int | toward zero (cast), down, up, or half away from zero (round); null outside of int64 |
| round to n digits | `round(x * 10^n) / 10^n`, half away from zero |
| greatest, least | nulls are skipped; null only if all are null |
| clip | null stays null; where the bounds cross, the lower one wins |
| isin | the list holds no null |
| bool to str | 'true' and 'false' |
| try_cast of a str | digits with an optional sign (floats: also a fraction and an exponent) in ASCII; else null |
| length, substr, left, right, pads, `_` | count code points |
| order of str | by code point |
| upper, lower | only letters of Latin (to U+017F), Greek, Cyrillic that pair one to one; `ß` and `İ` stay |
| strip | the six ASCII white space characters |
| regular expressions | the part that RE2, Java and Python share, see patterns.py |
| re_extract | null without a match; '' for a group that took no part |
| times | UTC, whole ms, years 1970 to 9999; arithmetic that leaves them is null |
| epoch_seconds | rounded down |
| delta | how many boundaries of the unit lie between, as in SQL's DATE_DIFF |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.allowed import check
from headrace.compile.finite import observed
from headrace.compile.kinds import kind_of, shift_of
from headrace.compile.letters import LOWER, UPPER
from headrace.compile.operations import TIME, How, Shift, ToInt, Whole


def core(expression: ir.Value, subject: str) -> ops.Value:
    """The expression in the core's operations. ExpressionError for one outside the allow-list."""
    check(expression, subject)
    return observed(expression.op().replace(_lower))


def _lower(node: Any, kwargs: dict[str, Any] | None) -> Any:
    if kwargs and not isinstance(node, ops.Relation):
        node = node.__recreate__(kwargs)
    rule = _RULES.get(type(node))
    return node if rule is None else rule(node)


def _literal(value: Any, dtype: dt.DataType) -> ops.Value:
    return ops.Literal(value, dtype)


_NULL_OF: Final[dict[str, dt.DataType]] = {
    "int": dt.int64, "float": dt.float64, "str": dt.string, "bool": dt.boolean, "time": TIME,
}  # fmt: skip


def _float(node: Any) -> Any:
    kind = kind_of(node.dtype)
    if isinstance(node, ops.Literal):
        return _literal(None if node.value is None else float(node.value), dt.float64)
    if kind == "bool":
        return ops.Cast(ops.Cast(node, dt.int64), dt.float64)
    return node if kind == "float" else ops.Cast(node, dt.float64)


def _alike(*nodes: Any) -> tuple[Any, ...]:
    """The nodes, all of one kind."""
    kinds = {kind_of(node.dtype) for node in nodes} - {"null"}
    if kinds == {"int", "float"}:
        return tuple(_float(node) for node in nodes)
    if len(kinds) != 1:
        return nodes
    typed = _NULL_OF[str(kinds.pop())]
    return tuple(_literal(None, typed) if node.dtype.is_null() else node for node in nodes)


def _infix(node: Any) -> Any:
    return type(node)(*_alike(node.left, node.right))


def _quotient(left: Any, right: Any) -> Any:
    left, right = _float(left), _float(right)
    return ops.Divide(left, _not_zero(right, 0.0))


def _not_zero(node: Any, zero: int | float) -> Any:
    if isinstance(node, ops.Literal) and node.value:
        return node
    if isinstance(node, ops.NullIf) and getattr(node.null_if_expr, "value", None) == 0:
        return node
    return ops.NullIf(node, _literal(zero, dt.int64 if isinstance(zero, int) else dt.float64))


def _to_int(node: Any, how: How) -> Any:
    return ToInt(Whole(node, how))


def _floor_divide(node: Any) -> Any:
    if kind_of(node.left.dtype) == kind_of(node.right.dtype) == "int":
        return ops.FloorDivide(node.left, _not_zero(node.right, 0))
    return _to_int(_quotient(node.left, node.right), "floor")


def _negate(node: Any) -> Any:
    if isinstance(node.arg, ops.Literal) and node.arg.value is not None:
        return _literal(-node.arg.value, node.arg.dtype)
    if node.arg.dtype.is_integer():
        return ops.Subtract(_literal(0, dt.int64), node.arg)
    return node


def _round(node: Any) -> Any:
    digits = int(node.digits.value)
    if not digits:
        return node.arg if node.arg.dtype.is_integer() else _to_int(node.arg, "round")
    number, scale = _float(node.arg), _literal(10.0 ** abs(digits), dt.float64)
    if digits > 0:
        return ops.Divide(Whole(ops.Multiply(number, scale), "round"), scale)
    return ops.Multiply(Whole(ops.Divide(number, scale), "round"), scale)


def _whole(how: How) -> Callable[[Any], Any]:
    return lambda node: node.arg if node.arg.dtype.is_integer() else _to_int(node.arg, how)


def _of_float(node: Any) -> Any:
    return type(node)(_float(node.arg))


def _cast(node: Any) -> Any:
    old, new, arg = kind_of(node.arg.dtype), kind_of(node.to), node.arg
    if isinstance(arg, ops.Literal) and arg.value is None:
        return _literal(None, _NULL_OF[str(new)])
    if old == new:
        return arg
    if new == "float" and old != "str":
        return _float(arg)
    if (old, new) == ("float", "int"):
        return _to_int(arg, "trunc")
    if (old, new) == ("bool", "str"):
        texts = (_literal("true", dt.string), _literal("false", dt.string))
        return ops.SearchedCase((arg, ops.Not(arg)), texts, _literal(None, dt.string))
    return type(node)(arg, _NULL_OF[str(new)])


def _constant(node: Any) -> Any:
    value, kind = node.value, kind_of(node.dtype)
    if kind is None or kind == "null" or value is None:
        return node if kind in (None, "null") else _literal(None, _NULL_OF[kind])
    if kind == "time" and value.tzinfo is not None:
        value = value.replace(tzinfo=None)
    return _literal(value, _NULL_OF[kind])


def _case(cases: tuple[Any, ...], results: tuple[Any, ...], default: Any) -> Any:
    *results_, default = _alike(*results, default)
    return ops.SearchedCase(cases, tuple(results_), default)


def _simple_case(node: Any) -> Any:
    cases = tuple(ops.Equals(*_alike(node.base, case)) for case in node.cases)
    return _case(cases, node.results, node.default)


def _clip(node: Any) -> Any:
    value, null = node.arg, _literal(None, node.arg.dtype)
    if node.upper is not None:
        value = ops.Least(_alike(value, node.upper))
    if node.lower is not None:
        value = ops.Greatest(_alike(value, node.lower))
    return _case((ops.NotNull(node.arg),), (value,), null)


def _in(node: Any) -> Any:
    value, *options = _alike(node.value, *node.options)
    if not options:
        return _literal(False, dt.boolean)
    if all(isinstance(option, ops.Literal) for option in options):
        return ops.InValues(value, tuple(options))
    found: Any = ops.Equals(value, options[0])
    for option in options[1:]:
        found = ops.Or(found, ops.Equals(value, option))
    return found


def _slice(node: Any) -> Any:
    start = 0 if node.start is None else int(node.start.value)
    length = None if node.end is None else _literal(max(int(node.end.value) - start, 0), dt.int64)
    return ops.Substring(node.arg, _literal(start, dt.int64), length)


def _delta(node: Any) -> Any:
    if node.part.value != "second":
        return node
    return ops.Subtract(ops.ExtractEpochSeconds(node.left), ops.ExtractEpochSeconds(node.right))


def _translate(old: str, new: str) -> Callable[[Any], Any]:
    return lambda node: ops.Translate(node.arg, _literal(old, dt.string), _literal(new, dt.string))


_RULES: Final[dict[type, Callable[[Any], Any]]] = {
    ops.Alias: lambda node: node.arg,
    ops.Literal: _constant,
    ops.Pi: lambda node: _literal(math.pi, dt.float64),
    ops.E: lambda node: _literal(math.e, dt.float64),
    **dict.fromkeys((ops.Add, ops.Subtract, ops.Multiply), _infix),
    **dict.fromkeys((ops.Equals, ops.NotEquals, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual), _infix),
    ops.Divide: lambda node: _quotient(node.left, node.right),
    ops.FloorDivide: _floor_divide,
    ops.Modulus: lambda node: ops.Modulus(node.left, _not_zero(node.right, 0)),
    ops.Power: lambda node: ops.Power(_float(node.left), _float(node.right)),
    ops.Negate: _negate,
    ops.Round: _round,
    ops.Floor: _whole("floor"),
    ops.Ceil: _whole("ceil"),
    **dict.fromkeys((ops.Sqrt, ops.Exp, ops.Ln, ops.Log2, ops.Log10, ops.Sin, ops.Cos), _of_float),
    ops.Log: lambda node: ops.Ln(_float(node.arg)),
    ops.Greatest: lambda node: ops.Greatest(_alike(*node.arg)) if len(node.arg) > 1 else node.arg[0],
    ops.Least: lambda node: ops.Least(_alike(*node.arg)) if len(node.arg) > 1 else node.arg[0],
    ops.Clip: _clip,
    ops.Between: lambda node: ops.And(
        ops.GreaterEqual(*_alike(node.arg, node.lower_bound)), ops.LessEqual(*_alike(node.arg, node.upper_bound))
    ),
    ops.InValues: _in,
    ops.Xor: lambda node: ops.NotEquals(node.left, node.right),
    ops.IfElse: lambda node: _case((node.bool_expr,), (node.true_expr,), node.false_null_expr),
    ops.SimpleCase: _simple_case,
    ops.SearchedCase: lambda node: _case(node.cases, node.results, node.default),
    ops.Coalesce: lambda node: ops.Coalesce(_alike(*node.arg)) if len(node.arg) > 1 else node.arg[0],
    ops.NullIf: lambda node: ops.NullIf(*_alike(node.arg, node.null_if_expr)),
    ops.Cast: _cast,
    ops.TryCast: _cast,
    ops.StringSlice: _slice,
    ops.Uppercase: _translate(LOWER, UPPER),
    ops.Lowercase: _translate(UPPER, LOWER),
    ops.TimestampAdd: lambda node: Shift(node.left, shift_of(node.right)),
    ops.TimestampDelta: _delta,
    ops.TimestampSub: lambda node: Shift(node.left, -(shift_of(node.right) or 0)),
}  # fmt: skip
