"""Whether a reader's schema can read what a writer's schema wrote.

Source: Apache Avro 1.11 specification, "Schema Resolution". Stricter in one place: every branch of a writer's union
must be readable, because any of them may have been written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from headrace.schema.contract import AvroSchema

_PRIMITIVES: Final = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))
_PROMOTIONS: Final = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


def incompatibilities(reader: AvroSchema, writer: AvroSchema) -> list[str]:
    """Why `reader` cannot read what `writer` wrote, each with the path of the field; empty where it can.

    >>> old = {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "string"}]}
    >>> new = {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "long"},
    ...                                                     {"name": "price", "type": "double"}]}
    >>> for reason in incompatibilities(new, old):
    ...     print(reason)
    Sale.units: a reader of long cannot read string
    Sale.price: the writer has no such field and the reader gives no default
    """
    return list(_Resolution(reader, writer).differences(reader, writer, "", "", ""))


class _Resolution:
    """One comparison: the named types of both sides, and the pairs already compared (types may be recursive)."""

    def __init__(self, reader: AvroSchema, writer: AvroSchema) -> None:
        self._readers: dict[str, Any] = dict(_named(reader, ""))
        self._writers: dict[str, Any] = dict(_named(writer, ""))
        self._seen: set[tuple[str, str]] = set()

    def differences(self, reader: Any, writer: Any, path: str, space: str, written_space: str) -> Iterator[str]:
        reader = _resolved(reader, space, self._readers)
        writer = _resolved(writer, written_space, self._writers)
        if isinstance(writer, list):
            for branch in writer:
                yield from self.differences(reader, branch, path, space, written_space)
            return
        kind, written = _kind(reader), _kind(writer)
        if kind == "union":
            if not any(self._fits(branch, writer, path, space, written_space) for branch in reader):
                options = ", ".join(_label(_resolved(branch, space, self._readers), space) for branch in reader)
                found = _label(writer, written_space)
                yield f"{path or 'schema'}: none of the reader's branches ({options}) can read {found}"
        elif kind != written:
            if kind not in _PROMOTIONS.get(written, ()):
                wanted, found = _label(reader, space), _label(writer, written_space)
                yield f"{path or 'schema'}: a reader of {wanted} cannot read {found}"
        elif kind == "array":
            yield from self.differences(reader["items"], writer["items"], f"{path}[]", space, written_space)
        elif kind == "map":
            yield from self.differences(reader["values"], writer["values"], f"{path}{{}}", space, written_space)
        elif kind in ("record", "enum", "fixed"):
            yield from self._names(reader, writer, kind, path, space, written_space)

    def _fits(self, reader: Any, writer: Any, path: str, space: str, written_space: str) -> bool:
        seen = set(self._seen)
        fits = next(self.differences(reader, writer, path, space, written_space), None) is None
        self._seen = seen
        return fits

    def _names(
        self, reader: Any, writer: Any, kind: str, path: str, space: str, written_space: str
    ) -> Iterator[str]:
        name, written = _fullname(reader, space), _fullname(writer, written_space)
        inner, written_inner = _space(name), _space(written)
        aliases = [alias if "." in alias else f"{inner}.{alias}".lstrip(".") for alias in reader.get("aliases", ())]
        where = path or name.rpartition(".")[2]
        if written not in (name, *aliases) and _short(written) != _short(name):
            yield f"{where}: the reader's {kind} is named {name}, the writer's {written}"
        elif (name, written) in self._seen:
            return
        elif kind == "fixed":
            if reader["size"] != writer["size"]:
                yield f"{where}: the reader's size is {reader['size']}, the writer's {writer['size']}"
        elif kind == "enum":
            unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            if unknown and "default" not in reader:
                yield f"{where}: the reader has no symbol {', '.join(unknown)} and no default"
        else:
            self._seen.add((name, written))
            fields = {field["name"]: field for field in writer["fields"]}
            for field in reader["fields"]:
                names = [field["name"], *field.get("aliases", ())]
                source = next((fields[name] for name in names if name in fields), None)
                at = f"{where}.{field['name']}"
                if source is not None:
                    yield from self.differences(field["type"], source["type"], at, inner, written_inner)
                elif "default" not in field:
                    yield f"{at}: the writer has no such field and the reader gives no default"


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, str):
        return schema
    kind = schema["type"]
    return "record" if kind == "error" else str(kind) if isinstance(kind, str) else _kind(kind)


def _label(schema: Any, space: str) -> str:
    kind = _kind(schema)
    return f"{kind} {_fullname(schema, space)}" if kind in ("record", "enum", "fixed") else kind


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _space(name: str) -> str:
    return name.rpartition(".")[0]


def _fullname(schema: Any, space: str) -> str:
    name = str(schema["name"])
    space = schema.get("namespace", space)
    return name if "." in name or not space else f"{space}.{name}"


def _resolved(schema: Any, space: str, names: dict[str, Any]) -> Any:
    """The definition behind a name; a type wrapped in {"type": ...} without more to it, unwrapped."""
    if isinstance(schema, dict) and isinstance(schema["type"], dict | list):
        return _resolved(schema["type"], space, names)
    if isinstance(schema, dict) and schema["type"] not in _PRIMITIVES and "name" not in schema:
        return schema if schema["type"] in ("array", "map") else _resolved(schema["type"], space, names)
    if isinstance(schema, str) and schema not in _PRIMITIVES:
        full = f"{space}.{schema}" if space and "." not in schema else schema
        return names.get(full, names.get(schema, schema))
    return schema


def _named(schema: Any, space: str) -> Iterator[tuple[str, Any]]:
    """Every named type inside, with its full name; its own namespace is written into it."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _named(branch, space)
    elif isinstance(schema, dict):
        kind = schema["type"]
        if kind in ("record", "error", "enum", "fixed"):
            name = _fullname(schema, space)
            yield name, {**schema, "name": _short(name), "namespace": _space(name)}
            for field in schema.get("fields", ()):
                yield from _named(field["type"], _space(name))
        elif kind == "array":
            yield from _named(schema["items"], space)
        elif kind == "map":
            yield from _named(schema["values"], space)
        elif isinstance(kind, dict | list):
            yield from _named(kind, space)
