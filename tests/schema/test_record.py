"""Records of any schema, one by one: nothing that no writer wrote is read, and what is not read is checked too."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare.types import ColumnType
from headrace.errors import SchemaError
from headrace.schema.parsed import parse
from headrace.schema.record import RecordReader, Refused

ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "long": ("long", st.integers(-(2**63), 2**63 - 1)),
    "string": ("string", st.text(max_size=5)),
    "boolean": ("boolean", st.booleans()),
    "double": ("double", st.floats(allow_nan=False)),
    "enum": (ENUM, st.sampled_from("AB")),
    "fixed": ({"type": "fixed", "name": "F", "size": 3}, st.binary(min_size=3, max_size=3)),
    "array": ({"type": "array", "items": "long"}, st.lists(st.integers(-5, 500), max_size=3)),
    "map": ({"type": "map", "values": "long"}, st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3)),
    "union": (["null", "long", "string"], st.none() | st.integers(0, 9) | st.text(max_size=3)),
}  # fmt: skip


def record(**fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


def written(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, schema, value)
    return file.getvalue()


def read(
    writer: dict[str, Any], data: bytes, reader: dict[str, Any] | None = None, **kinds: Any
) -> tuple[Any, ...]:
    columns = {name: ColumnType(kind, True) for name, kind in kinds.items()}
    values, end = RecordReader(parse(writer), parse(reader or writer), columns).one(data)
    assert end == len(data)
    return values


@given(data=st.data(), kinds=st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5, unique=True))
@settings(max_examples=100, deadline=None)
def test_a_field_behind_any_others_is_read_and_no_cut_record_is(data: st.DataObject, kinds: list[str]) -> None:
    schema = record(**{kind: VALUES[kind][0] for kind in kinds}, last="long")
    value = {kind: data.draw(VALUES[kind][1]) for kind in kinds} | {"last": 7}
    payload = written(schema, value)
    for reader in (schema, record(last="long")):
        assert read(schema, payload, reader, last="int") == (7,)
        for cut in range(len(payload)):
            with pytest.raises(Refused):
                read(schema, payload[:cut], reader, last="int")


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        ("string", b"\x08ab", "it ends too early"),
        ("string", b"\x01ab", "a length is negative"),
        ("string", b"\x02\xff", "a text is not UTF-8"),
        ("boolean", b"\x05", "a boolean is neither 0 nor 1"),
        (ENUM, b"\x01", "a union or an enum has no such branch"),
        (["null", "long"], b"\x01", "a union or an enum has no such branch"),
        ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\x01\x00", "it ends too early"),
        ({"type": "array", "items": "null"}, b"\xff" * 9 + b"\x01\x00\x00", "it ends too early"),
        (NODE, b"\x02" * 100 + b"\x00", "it is nested too deeply"),
    ],
)  # fmt: skip
def test_a_field_that_nobody_reads_is_checked(kind: Any, payload: bytes, reason: str) -> None:
    reader = record() | {"fields": [{"name": "n", "type": "long", "default": 3}]}
    with pytest.raises(Refused, match=reason):
        read(record(a=kind), payload, reader, n="int")


def test_an_enum_is_a_text_and_an_unknown_symbol_its_default() -> None:
    wider = record(a={**ENUM, "symbols": ["A", "B", "C"]})
    payload = written(wider, {"a": "C"})
    assert read(wider, payload, a="str") == ("C",)
    assert read(wider, payload, record(a={**ENUM, "default": "A"}), a="str") == ("A",)
    with pytest.raises(Refused, match="does not resolve"):
        read(wider, payload, record(a=ENUM), a="str")


def test_nanoseconds_are_read_as_milliseconds() -> None:
    kind = {"type": "long", "logicalType": "timestamp-nanos"}
    payload = written(record(t="long"), {"t": -1})
    assert read(record(t=kind), payload, record(t="long"), t="time") == (-1,)


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(SchemaError, match="its field a is array"):
        read(record(a={"type": "array", "items": "long"}), b"\x00", a="str")
