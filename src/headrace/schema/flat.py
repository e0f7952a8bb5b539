"""Flat records: only primitive fields, each plain or in a union with null. What Headrace's columns need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.schema.contract import AvroSchema

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ARROW: Final[dict[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
}
_MILLIS: Final = ("timestamp-millis", "local-timestamp-millis")
WIDTHS: Final = {"boolean": 1, "float": 4, "double": 8}
"""Bytes of the types that have always as many."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a flat record. type: the primitive; null: the branch that is null, None without a union."""

    name: str
    type: str
    null: int | None
    aliases: tuple[str, ...] = ()


def fields_of(schema: AvroSchema) -> list[Field] | None:
    """The fields of a flat record in order; None for any other schema.

    >>> fields_of({"type": "record", "name": "Sale", "fields": [{"name": "units", "type": ["null", "long"]}]})
    [Field(name='units', type='long', null=0, aliases=())]
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return None
    fields = []
    for field in schema["fields"]:
        kind, null = field["type"], None
        if isinstance(kind, list):
            if len(kind) != 2 or "null" not in kind:
                return None
            null = kind.index("null")
            kind = kind[1 - null]
        if isinstance(kind, dict):
            if "logicalType" in kind and not (kind["type"] == "long" and kind["logicalType"] in _MILLIS):
                return None
            kind = kind["type"]
        if not isinstance(kind, str) or kind not in ARROW:
            return None
        fields.append(Field(field["name"], kind, null, tuple(field.get("aliases", ()))))
    return fields


def spread(begins: Ints, sizes: Ints) -> Ints:
    """The places begin, begin + 1, ... of each run, in one array."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(begins - (ends - sizes), sizes) + np.arange(total)
