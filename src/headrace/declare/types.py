"""Column types: what a user writes behind a colon in a stream or table.

At run time `Int` is `Annotated[<ibis column>, INT]`, so that a type checker sees the ibis column
(and catches `sale.unit` for `sale.units`), while Headrace reads the kind from the annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, get_origin, get_type_hints

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

from headrace.errors import DeclarationError

Kind = Literal["str", "int", "float", "bool", "time"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A kind (str; int, 64 bits; float, 64 bits; bool; time, UTC in whole milliseconds) and nullability."""

    kind: Kind
    nullable: bool = False

    @property
    def ibis(self) -> dt.DataType:
        return _IBIS[self.kind](nullable=self.nullable)

    @property
    def arrow(self) -> pa.DataType:
        return _ARROW[self.kind]

    @property
    def avro(self) -> Any:
        """The Avro type; nullable types are a union with null first."""
        return ["null", _AVRO[self.kind]] if self.nullable else _AVRO[self.kind]

    def __str__(self) -> str:
        name = self.kind.capitalize()
        return f"Null[{name}]" if self.nullable else name


_IBIS: Final[dict[Kind, Any]] = {
    "str": dt.String,
    "int": dt.Int64,
    "float": dt.Float64,
    "bool": dt.Boolean,
    "time": lambda nullable: dt.Timestamp(scale=3, nullable=nullable),
}
_ARROW: Final[dict[Kind, pa.DataType]] = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("ms"),
}
_AVRO: Final[dict[Kind, Any]] = {
    "str": "string",
    "int": "long",
    "float": "double",
    "bool": "boolean",
    "time": {"type": "long", "logicalType": "timestamp-millis"},
}


def type_of(expression: ir.Value) -> ColumnType | None:
    """The column type of an ibis expression, or None when no column may have its type.

    >>> import ibis
    >>> type_of(ibis.literal(2) * 1.5).kind
    'float'
    """
    found = expression.type()
    nullable = bool(found.nullable)
    if found.is_string():
        return ColumnType("str", nullable)
    if found.is_boolean():
        return ColumnType("bool", nullable)
    if found.is_integer():
        return ColumnType("int", nullable)
    if found.is_floating():
        return ColumnType("float", nullable)
    if found.is_timestamp():
        return ColumnType("time", nullable)
    return None


@dataclass(frozen=True, slots=True)
class _Nullable:
    pass


Str = Annotated[ir.StringColumn, ColumnType("str")]
Int = Annotated[ir.IntegerColumn, ColumnType("int")]
Float = Annotated[ir.FloatingColumn, ColumnType("float")]
Bool = Annotated[ir.BooleanColumn, ColumnType("bool")]
Time = Annotated[ir.TimestampColumn, ColumnType("time")]
Null = Annotated[_T, _Nullable()]

_TYPES: Final = "use Str, Int, Float, Bool or Time, or Null[...] of one of them"


_NAMES: Final[dict[str, Any]] = {
    "Str": Str, "Int": Int, "Float": Float, "Bool": Bool, "Time": Time, "Null": Null,
}  # fmt: skip


def columns_of(record: type) -> dict[str, ColumnType]:
    """The columns that a stream or table class declares, in order."""
    columns: dict[str, ColumnType] = {}
    try:
        hints = get_type_hints(record, localns=_NAMES, include_extras=True)
    except NameError as error:
        raise DeclarationError(record.__name__, f"a column's type is unknown: {error}", _TYPES) from error
    for name, hint in hints.items():
        if get_origin(hint) is ClassVar:
            continue
        marks = getattr(hint, "__metadata__", ())
        kinds = [mark for mark in marks if isinstance(mark, ColumnType)]
        if len(kinds) != 1:
            raise DeclarationError(f"{record.__name__}.{name}", f"{hint!r} is not a column type", _TYPES)
        if name.startswith("_") or "__" in name:
            raise DeclarationError(
                f"{record.__name__}.{name}",
                "names that start with '_' or hold '__' are the system's own",
                "rename the column",
            )
        columns[name] = ColumnType(kinds[0].kind, any(isinstance(mark, _Nullable) for mark in marks))
    return columns
