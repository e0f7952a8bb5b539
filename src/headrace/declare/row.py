"""What a decorated function receives: a row whose attributes are ibis columns."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from headrace.declare.types import ColumnType
from headrace.errors import DeclarationError


class Row:
    """The columns of one record inside a wider relation, by attribute."""

    def __init__(self, subject: str, columns: Mapping[str, ir.Value]) -> None:
        self._subject = subject
        self._columns = dict(columns)

    def __getattr__(self, name: str) -> ir.Value:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._columns[name]
        except KeyError:
            near = get_close_matches(name, self._columns, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self._columns) or 'no columns'}"
            raise DeclarationError(self._subject, f"it has no column {name!r}", remedy) from None

    __getitem__ = __getattr__


def relation(columns: Mapping[str, ColumnType], name: str = "record") -> ir.Table:
    """An unbound ibis relation over which expressions are written."""
    return ibis.table({column: kind.ibis for column, kind in columns.items()}, name=name)


def columns_used(expression: ir.Value) -> set[str]:
    """The names of the relation's columns that an expression reads.

    >>> sale = ibis.table({"units": "int64", "price": "float64"}, name="sale")
    >>> sorted(columns_used(sale.units * sale.price))
    ['price', 'units']
    """
    found: Any = expression.op().find(ops.Field)
    return {field.name for field in found}
