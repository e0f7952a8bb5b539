"""An Avro schema with its named types resolved to their definitions; a recursive type refers to itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.schema.contract import AvroSchema

_PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_NAMED: Final = ("record", "enum", "fixed")
_PROMOTIONS: Final = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A field of a record. raw: as the schema has it, with its default if there is one."""

    name: str
    aliases: tuple[str, ...]
    type: Type
    raw: dict[str, Any]


@dataclass(slots=True, eq=False)
class Type:
    """parts: the branches of a union, or the one type of an array's or a map's items."""

    kind: str
    logical: str = ""
    name: str = ""
    aliases: tuple[str, ...] = ()
    members: list[Member] = field(default_factory=list)
    parts: list[Type] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = 0

    def member(self, names: Sequence[str]) -> Member | None:
        """The field of the first of these names that there is."""
        known = {member.name: member for member in self.members}
        return next((known[name] for name in names if name in known), None)

    def fits(self, reader: Type) -> bool:
        """Whether what was written so may be read as `reader`, as far as can be told before it is read."""
        if self.kind == "union" or reader.kind == "union":
            return True
        if self.kind in _NAMED or reader.kind in _NAMED:
            alike = self.kind == reader.kind and self.size == reader.size
            return alike and (_short(self.name) == _short(reader.name) or self.name in reader.aliases)
        if self.kind == reader.kind:
            return self.kind not in ("array", "map") or self.parts[0].fits(reader.parts[0])
        return reader.kind in _PROMOTIONS.get(self.kind, ())


def parse(schema: AvroSchema) -> Type:
    """The schema, resolved. KeyError where it is no Avro schema or a name is not defined."""
    return _parse(schema, "", {})


def _parse(schema: Any, space: str, named: dict[str, Type]) -> Type:
    if isinstance(schema, list):
        return Type("union", parts=[_parse(branch, space, named) for branch in schema])
    if isinstance(schema, str):
        if schema in _PRIMITIVES:
            return Type(schema)
        full = _full(schema, space)
        return named[full] if full in named else named[schema]
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _parse(kind, space, named)
    if kind in ("array", "map"):
        return Type(kind, parts=[_parse(schema["items" if kind == "array" else "values"], space, named)])
    if kind not in (*_NAMED, "error"):
        found = _parse(kind, space, named)
        if found.kind in _PRIMITIVES:
            found.logical = schema.get("logicalType", "")
        return found
    name = _full(schema["name"], schema.get("namespace", space))
    inner = name.rpartition(".")[0]
    aliases = tuple(_full(alias, inner) for alias in schema.get("aliases", ()))
    found = named[name] = Type("record" if kind == "error" else kind, name=name, aliases=aliases)
    if found.kind == "enum":
        found.symbols, found.default = tuple(schema["symbols"]), schema.get("default")
    elif found.kind == "fixed":
        found.size = schema["size"]
    else:
        found.members = [
            Member(part["name"], tuple(part.get("aliases", ())), _parse(part["type"], inner, named), part)
            for part in schema["fields"]
        ]
    return found


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _short(name: str) -> str:
    return name.rpartition(".")[2]
