"""Reads one record of any schema, strictly: what is accepted is a record of its schema in every byte.

Flink reads the same way (stream/flink/java): the same bytes are refused on both, with the same words.

Source: Apache Avro 1.11 specification, "Binary Encoding" and "Schema Resolution".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.declare.types import ColumnType, Kind
from headrace.errors import SchemaError
from headrace.schema.parsed import Type

Step = Callable[[bytes, int, int], tuple[Any, int]]
"""From bytes, a place in them and a depth of nesting to a value and the place behind it."""

_DEEPEST: Final = 64
_ITEMS: Final = 65_536
"""Of an array's block: items without bytes could keep a reader busy for ever."""
_DIVISORS: Final = {
    "timestamp-micros": 1_000,
    "local-timestamp-micros": 1_000,
    "timestamp-nanos": 1_000_000,
    "local-timestamp-nanos": 1_000_000,
}
_TAKES: Final[dict[Kind, tuple[str, ...]]] = {
    "str": ("string", "enum"),
    "int": ("int", "long"),
    "time": ("int", "long"),
    "float": ("float", "double"),
    "bool": ("boolean",),
}
_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")


class Refused(Exception):
    """Bytes that are not a record of their schema, with the reason."""


class RecordReader:
    """Records of one writer's schema as values of the reader's columns."""

    def __init__(self, writer: Type, reader: Type, columns: Mapping[str, ColumnType]) -> None:
        _check(reader, columns)
        kinds = {name: column.kind for name, column in columns.items()}
        self._step = _Steps().record(writer, reader, kinds) if writer.fits(reader) else _unresolved

    def one(self, data: bytes, at: int = 0) -> tuple[tuple[Any, ...], int]:
        """The columns' values of the record that begins at `at`, and where it ends; times are ms.

        Refused where there is no record.
        """
        return self._step(data, at, 0)


def _check(reader: Type, columns: Mapping[str, ColumnType]) -> None:
    known = {member.name: member.type for member in reader.members}
    for name, column in columns.items():
        if not _takes(column.kind, known[name]):
            raise SchemaError(
                f"schema {reader.name}", f"its field {name} is {known[name].kind}", f"make it {column}"
            )


def _takes(kind: Kind, type_: Type) -> bool:
    if type_.kind == "union":
        return all(_takes(kind, part) for part in type_.parts)
    return type_.kind == "null" or type_.kind in _TAKES[kind]


class _Steps:
    """Makes the steps of one pair of schemas."""

    def __init__(self) -> None:
        self._nested: dict[tuple[int, int], Step] = {}

    def record(self, writer: Type, reader: Type, kinds: Mapping[str, Kind]) -> Step:
        """The values of the columns in `kinds`, in their order; every other field is read and left."""
        places = {name: place for place, name in enumerate(kinds)}
        defaults: list[Any] = [None] * len(kinds)
        found: dict[str, list[tuple[int, Step]]] = {member.name: [] for member in writer.members}
        complete = True
        for member in reader.members:
            place, kind = places.get(member.name, -1), kinds.get(member.name)
            source = writer.member([member.name, *member.aliases])
            if source is not None:
                found[source.name].append((place, self.step(source.type, member.type, kind)))
            elif "default" not in member.raw:
                complete = False
            elif kind is not None:
                defaults[place] = _default(member.raw["default"], kind)
        fields = [
            found[member.name] or [(-1, self.step(member.type, member.type, None))] for member in writer.members
        ]

        def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
            if depth == _DEEPEST:
                raise Refused("it is nested too deeply")
            values = list(defaults)
            for targets in fields:
                begin = at
                for place, step in targets:
                    value, at = step(data, begin, depth + 1)
                    if place >= 0:
                        values[place] = value
            if not complete:
                raise Refused(_UNRESOLVED)
            return tuple(values), at

        return read

    def step(self, writer: Type, reader: Type, kind: Kind | None) -> Step:
        """kind: of the column that takes the value, None where none does."""
        if writer.kind == "union":
            branches = [self.step(part, reader, kind) for part in writer.parts]

            def union(data: bytes, at: int, depth: int) -> tuple[Any, int]:
                branch, at = _branch(data, at, len(branches))
                return branches[branch](data, at, depth)

            return union
        if reader.kind == "union":
            branch = next((part for part in reader.parts if writer.fits(part)), None)
            return _unresolved if branch is None else self.step(writer, branch, kind)
        if not writer.fits(reader):
            return _unresolved
        match writer.kind:
            case "int" | "long":
                return _whole(writer, kind)
            case "bytes":
                return _text if reader.kind == "string" else _bytes
            case "fixed":
                return _fixed(writer.size)
            case "enum":
                return _enum(writer, reader)
            case "array":
                return _items(self.step(writer.parts[0], reader.parts[0], None))
            case "map":
                return _items(_pair(self.step(writer.parts[0], reader.parts[0], None)))
            case "record":
                return self._inner(writer, reader)
            case primitive:
                return _PRIMITIVE[primitive]

    def _inner(self, writer: Type, reader: Type) -> Step:
        """A record inside a record. It may hold itself: its step is known before it is made."""
        pair = id(writer), id(reader)
        if pair not in self._nested:
            made: list[Step] = []
            self._nested[pair] = lambda data, at, depth: made[0](data, at, depth)
            made.append(self.record(writer, reader, {}))
        return self._nested[pair]


_UNRESOLVED: Final = "it does not resolve to the reader's schema"


def _unresolved(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    raise Refused(_UNRESOLVED)


def _default(value: Any, kind: Kind) -> Any:
    return float(value) if kind == "float" and value is not None else value


def _null(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    return None, at


def _boolean(data: bytes, at: int, depth: int) -> tuple[bool, int]:
    _require(data, at, 1)
    if data[at] > 1:
        raise Refused("a boolean is neither 0 nor 1")
    return data[at] == 1, at + 1


def _long(data: bytes, at: int, depth: int = 0) -> tuple[int, int]:
    """An int or a long."""
    raw = 0
    for shift in range(0, 64, 7):
        _require(data, at, 1)
        byte = data[at]
        at += 1
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            if raw >> 64:
                break
            return raw >> 1 ^ -(raw & 1), at
    raise Refused("a number is longer than 64 bits")


def _float(data: bytes, at: int, depth: int) -> tuple[float, int]:
    _require(data, at, 4)
    return _FLOAT.unpack_from(data, at)[0], at + 4


def _double(data: bytes, at: int, depth: int) -> tuple[float, int]:
    _require(data, at, 8)
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def _bytes(data: bytes, at: int, depth: int) -> tuple[bytes, int]:
    length, at = _long(data, at)
    if length < 0:
        raise Refused("a length is negative")
    _require(data, at, length)
    return data[at : at + length], at + length


def _text(data: bytes, at: int, depth: int) -> tuple[str, int]:
    found, at = _bytes(data, at, depth)
    return _decoded(found), at


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Refused("a text is not UTF-8") from None


def _require(data: bytes, at: int, length: int) -> None:
    if length > len(data) - at:
        raise Refused("it ends too early")


def _branch(data: bytes, at: int, count: int) -> tuple[int, int]:
    branch, at = _long(data, at)
    if not 0 <= branch < count:
        raise Refused("a union or an enum has no such branch")
    return branch, at


def _whole(writer: Type, kind: Kind | None) -> Step:
    """Times of a finer unit become ms."""
    divisor = _DIVISORS.get(writer.logical) if writer.kind == "long" else None
    if divisor is None and kind != "float":
        return _long

    def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
        value, at = _long(data, at)
        value = value // (divisor or 1)
        return float(value) if kind == "float" else value, at

    return read


def _fixed(size: int) -> Step:
    def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
        _require(data, at, size)
        return data[at : at + size], at + size

    return read


def _enum(writer: Type, reader: Type) -> Step:
    symbols = [symbol if symbol in reader.symbols else reader.default for symbol in writer.symbols]

    def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
        place, at = _branch(data, at, len(symbols))
        if symbols[place] is None:
            raise Refused(_UNRESOLVED)
        return symbols[place], at

    return read


def _items(item: Step) -> Step:
    def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
        while True:
            count, at = _long(data, at)
            if count < 0:  # the block's size follows, for readers that skip it
                count = -count
                _, at = _long(data, at)
            if count == 0:
                return None, at
            if count > max(len(data) - at, _ITEMS):
                raise Refused("it ends too early")
            for _ in range(count):
                _, at = item(data, at, depth)

    return read


def _pair(value: Step) -> Step:
    def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
        _, at = _text(data, at, depth)
        return value(data, at, depth)

    return read


_PRIMITIVE: Final[dict[str, Step]] = {
    "null": _null,
    "boolean": _boolean,
    "float": _float,
    "double": _double,
    "string": _text,
}
