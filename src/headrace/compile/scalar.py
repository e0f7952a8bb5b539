"""The Python target: a plain function from one row to the values of its expressions, for serving.

All expressions become one generated function, in which shared sub-expressions are computed once. The branches of
a case, and what stands behind a value that is not null in a coalesce, are computed only where needed, as in SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.compile.kinds import INT_MAX, INT_MIN, kind_of
from headrace.compile.numbers import missing, overflow
from headrace.compile.operations import Finite
from headrace.compile.python import CHECKED, FUNCTIONS, SELDOM_NULL, STRICT, constant_of
from headrace.compile.refusals import words
from headrace.compile.rewrites import core
from headrace.compile.sql import children

_MANY: Final = 20
_LIMIT: Final = repr(1.7976931348623157e308)


class Scalar(Protocol):
    """A compiled function. `source` is the Python text that runs."""

    source: str

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]: ...


def compile_scalar(expressions: Mapping[str, ir.Value]) -> Scalar:
    """Compiles expressions to one function of a row: a str, int, float, bool or None each, times as int ms.

    The function raises FeatureError for an int64 overflow and for a column that the row does not have. It takes
    columns to be of their declared type.

    >>> import ibis
    >>> sale = ibis.table({"units": "int64", "price": "float64"}, name="record")
    >>> revenue = compile_scalar({"revenue": sale.units * sale.price, "many": sale.units > 10})
    >>> revenue({"units": 12, "price": 1.5})
    {'revenue': 18.0, 'many': True}
    >>> revenue({"units": None, "price": 1.5})
    {'revenue': None, 'many': None}
    """
    writer = _Writer()
    roots = {name: core(expression, name) for name, expression in expressions.items()}
    writer.load(sorted({field.name for root in roots.values() for field in root.find(ops.Field)}))
    values = {}
    for name, root in roots.items():
        writer.subject = name
        values[name] = writer.emit(root)
    answer = ", ".join(f"{name!r}: {value}" for name, value in values.items())
    source = "\n".join(["def compute(row):", *writer.lines, f"    return {{{answer}}}"]) + "\n"
    namespace = {**FUNCTIONS, "_overflow": overflow, "_missing": missing, **writer.constants}
    exec(compile(source, "<expressions>", "exec"), namespace)
    function: Any = namespace["compute"]
    function.source = source
    return cast(Scalar, function)


class _Writer:
    """Writes the statements of the function; an emitted node is the name of a variable, or a constant."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.subject = ""
        self._sure: set[str] = {"True", "False"}
        self._scopes: list[dict[Any, str]] = [{}]
        self._columns: dict[str, str] = {}
        self._count = 0

    def load(self, columns: list[str]) -> None:
        if not columns:
            return
        self._line("try:")
        for place, column in enumerate(columns):
            self._columns[column] = f"c{place}"
            self._line(f"    c{place} = row[{column!r}]")
        self._line("except KeyError as error:")
        self._line("    _missing(error)")

    def emit(self, node: Any) -> str:
        for scope in reversed(self._scopes):
            known: str | None = scope.get(node)
            if known is not None:
                return known
        found = self._write(node)
        self._scopes[-1][node] = found
        return found

    def _line(self, text: str) -> None:
        self.lines.append("    " * len(self._scopes) + text)

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._line(head)
        self._scopes.append({})
        yield
        self._scopes.pop()

    def _variable(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _constant(self, value: Any) -> str:
        name = f"_k{len(self.constants)}"
        self.constants[name] = value
        return name

    def _null_test(self, *values: str) -> str:
        return " or ".join(dict.fromkeys(f"{value} is None" for value in values if value not in self._sure))

    def _write(self, node: Any) -> str:
        if isinstance(node, ops.Field):
            return self._columns[node.name]
        if isinstance(node, ops.Literal):
            return self._literal(node)
        special = getattr(self, f"_{type(node).__name__.lower()}", None)
        return self._strict(node) if special is None else str(special(node))

    def _literal(self, node: Any) -> str:
        value = node.value
        if value is not None and kind_of(node.dtype) == "time":
            value = constant_of(value)
        text = repr(value)
        if value is not None:
            self._sure.add(text)
        return text

    def _assign(self, text: str, sure: bool = False) -> str:
        name = self._variable()
        self._line(f"{name} = {text}")
        if sure:
            self._sure.add(name)
        return name

    def _strict(self, node: Any) -> str:
        values = [self.emit(child) for child in children(node)]
        rule, constant = STRICT[type(node)], ""
        if not isinstance(rule, str):
            rule, held = rule(node)
            constant = "" if held is None else self._constant(held)
        text = rule.format(*values, k=constant)
        test = self._null_test(*values)
        guard = CHECKED.get(type(node)) if node.dtype.is_integer() else None
        if guard is None:
            sure = not test and type(node) not in SELDOM_NULL
            return self._assign(f"None if {test} else {text}" if test else text, sure)
        name = self._variable()
        fails = guard.format(*values, value=f"({name} := {text})", low=INT_MIN, high=INT_MAX)
        if test:
            self._line(f"if {test}:")
            self._line(f"    {name} = None")
        else:
            self._sure.add(name)
        self._line(f"{'elif' if test else 'if'} {fails}:")
        self._line(f"    _overflow({self.subject!r}, {words(node)!r})")
        return name

    def _finite(self, node: Finite) -> str:
        value = self.emit(node.arg)
        test = "" if value in self._sure else f"{value} is not None and "
        return self._assign(f"{value} if {test}-{_LIMIT} <= {value} <= {_LIMIT} else None")

    def _and(self, node: Any) -> str:
        left, right = self.emit(node.left), self.emit(node.right)
        if not self._null_test(left, right):
            return self._assign(f"{left} and {right}", sure=True)
        return self._assign(f"{right} if {left} else False if {left} is False or {right} is False else None")

    def _or(self, node: Any) -> str:
        left, right = self.emit(node.left), self.emit(node.right)
        test = self._null_test(left, right)
        if not test:
            return self._assign(f"{left} or {right}", sure=True)
        return self._assign(f"True if {left} or {right} else None if {test} else False")

    def _isnull(self, node: Any) -> str:
        value = self.emit(node.arg)
        return "False" if value in self._sure else self._assign(f"{value} is None", sure=True)

    def _notnull(self, node: Any) -> str:
        value = self.emit(node.arg)
        return "True" if value in self._sure else self._assign(f"{value} is not None", sure=True)

    def _nullif(self, node: Any) -> str:
        value, other = self.emit(node.arg), self.emit(node.null_if_expr)
        return self._assign(f"None if {value} == {other} else {value}")

    def _greatest(self, node: Any) -> str:
        return self._extreme(node, ">=")

    def _least(self, node: Any) -> str:
        return self._extreme(node, "<=")

    def _extreme(self, node: Any, comparison: str) -> str:
        values = [self.emit(child) for child in node.arg]
        best = values[0]
        for value in values[1:]:
            first = "" if best in self._sure else f"{value} if {best} is None else "
            second = "" if value in self._sure else f"{value} is None or "
            sure = best in self._sure or value in self._sure
            best = self._assign(f"{first}{best} if {second}{best} {comparison} {value} else {value}", sure)
        return best

    def _coalesce(self, node: Any) -> str:
        first, *rest = node.arg
        value = self.emit(first)
        if value in self._sure:
            return value
        name = self._assign(value)
        sure = False
        for other in rest:
            with self._block(f"if {name} is None:"):
                last = self.emit(other)
                self._line(f"{name} = {last}")
                sure = last in self._sure
            if sure:
                self._sure.add(name)
                break
        return name

    def _searchedcase(self, node: Any) -> str:
        name = self._variable()
        branches = list(zip(node.cases, node.results, strict=True))
        early = len(branches) > _MANY and not any(case.find(tuple(CHECKED)) for case in node.cases)
        tests = [self.emit(case) for case in node.cases] if early else []
        sure = self._branches(name, branches, tests, node.default, "if")
        if sure:
            self._sure.add(name)
        return name

    def _branches(self, name: str, branches: list[Any], tests: list[str], default: Any, word: str) -> bool:
        if not branches:
            with self._block("else:") if word == "elif" else self._block("if True:"):
                sure = self._result(name, default)
            return sure
        (case, result), *rest = branches
        test = tests[0] if tests else self.emit(case)
        with self._block(f"{word} {test}:"):
            sure = self._result(name, result)
        if tests or not rest:
            return self._branches(name, rest, tests[1:], default, "elif") and sure
        with self._block("else:"):
            return self._branches(name, rest, [], default, "if") and sure

    def _result(self, name: str, node: Any) -> bool:
        value = self.emit(node)
        self._line(f"{name} = {value}")
        return value in self._sure
