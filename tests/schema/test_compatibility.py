"""Avro's rules of schema resolution."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.schema.compatibility import incompatibilities
from headrace.schema.contract import AvroSchema


def record(*fields: dict[str, Any], **more: Any) -> AvroSchema:
    return {"type": "record", "name": "R", "fields": list(fields), **more}


def one(kind: Any, **more: Any) -> AvroSchema:
    return record({"name": "f", "type": kind, **more})


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
INNER = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}
WIDER = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "long"}, {"name": "y", "type": "long"}]}


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (one("long"), one("int")),
        (one("double"), one("long")),
        (one("double"), one("float")),
        (one("bytes"), one("string")),
        (one("string"), one("bytes")),
        (one(["null", "long"]), one("long")),
        (one(["null", "double"]), one("long")),
        (one(["null", "long"]), one(["null", "long"])),
        (one(["long", "null"]), one(["null", "int"])),
        (one("long", default=1), record()),
        (record(), one("long")),
        (record({"name": "g", "type": "long", "aliases": ["f"]}), one("long")),
        (one({"type": "long", "logicalType": "timestamp-millis"}), one("long")),
        (one(ENUM), one({**ENUM, "symbols": ["B"]})),
        (one({**ENUM, "symbols": ["A"], "default": "A"}), one(ENUM)),
        (one({"type": "array", "items": "long"}), one({"type": "array", "items": "int"})),
        (one({"type": "map", "values": "long"}), one({"type": "map", "values": "int"})),
        (one({**INNER, "fields": [{"name": "x", "type": "long"}]}), one(INNER)),
        (one({**INNER, "name": "J", "aliases": ["I"]}), one(INNER)),
        (record({"name": "a", "type": INNER}, {"name": "b", "type": "I"}), record({"name": "a", "type": INNER})
         | {"fields": [{"name": "a", "type": INNER}, {"name": "b", "type": "I"}]}),
        (one(["null", "R"]), one(["null", "R"])),
        ({**one("long"), "namespace": "new"}, {**one("long"), "namespace": "old"}),
    ],
)  # fmt: skip
def test_compatible(reader: AvroSchema, writer: AvroSchema) -> None:
    assert incompatibilities(reader, writer) == []


@pytest.mark.parametrize(
    ("reader", "writer", "reason"),
    [
        (one("int"), one("long"), "R.f: a reader of int cannot read long"),
        (one("long"), one("double"), "R.f: a reader of long cannot read double"),
        (one("long"), one("string"), "R.f: a reader of long cannot read string"),
        (one("long"), one(["null", "long"]), "R.f: a reader of long cannot read null"),
        (one(["null", "int"]), one("string"), "R.f: none of the reader's branches (null, int) can read string"),
        (one("long"), record(), "R.f: the writer has no such field and the reader gives no default"),
        (one({**ENUM, "symbols": ["A"]}), one(ENUM), "R.f: the reader has no symbol B and no default"),
        (one({"type": "array", "items": "int"}), one({"type": "array", "items": "long"}),
         "R.f[]: a reader of int cannot read long"),
        (one({"type": "map", "values": "int"}), one({"type": "map", "values": "long"}),
         "R.f{}: a reader of int cannot read long"),
        (one(WIDER), one(INNER), "R.f.y: the writer has no such field and the reader gives no default"),
        (one({**INNER, "name": "J"}), one(INNER), "R.f: the reader's record is named J, the writer's I"),
        (one({"type": "fixed", "name": "F", "size": 4}), one({"type": "fixed", "name": "F", "size": 8}),
         "R.f: the reader's size is 4, the writer's 8"),
        (one(INNER), one("string"), "R.f: a reader of record I cannot read string"),
    ],
)  # fmt: skip
def test_incompatible_with_the_path_and_the_reason(reader: AvroSchema, writer: AvroSchema, reason: str) -> None:
    assert incompatibilities(reader, writer) == [reason]


def test_every_reason_is_given() -> None:
    writer = record({"name": "a", "type": "string"}, {"name": "b", "type": "long"})
    reader = record({"name": "a", "type": "long"}, {"name": "b", "type": "int"}, {"name": "c", "type": "int"})
    assert [reason.split(":")[0] for reason in incompatibilities(reader, writer)] == ["R.a", "R.b", "R.c"]


PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=5),
    "bytes": st.text(max_size=5).map(str.encode),
}


@st.composite
def kinds(draw: st.DrawFn, name: str, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type and its values. name: for the named types in it, which must be unique."""
    forms = ["plain", "plain", "nullable", "enum"] + ["array", "map", "record"] * (depth > 0)
    form = draw(st.sampled_from(forms))
    if form == "enum":
        symbols = draw(st.lists(st.sampled_from("ABC"), min_size=1, unique=True))
        return {"type": "enum", "name": f"E{name}", "symbols": symbols}, st.sampled_from(symbols)
    if form in ("plain", "nullable"):
        kind = draw(st.sampled_from(sorted(PRIMITIVES)))
        if form == "plain":
            return kind, PRIMITIVES[kind]
        return draw(st.permutations(["null", kind])), st.none() | PRIMITIVES[kind]
    inner, values = draw(kinds(f"{name}x", depth - 1))
    if form == "array":
        return {"type": "array", "items": inner}, st.lists(values, max_size=2)
    if form == "map":
        return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=2), values, max_size=2)
    fields = [{"name": "x", "type": inner}]
    return {"type": "record", "name": f"I{name}", "fields": fields}, st.fixed_dictionaries({"x": values})


@st.composite
def records(draw: st.DrawFn) -> tuple[AvroSchema, st.SearchStrategy[Any]]:
    names = draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1))
    drawn = {name: draw(kinds(name)) for name in names}
    fields = [{"name": name, "type": kind} for name, (kind, _) in drawn.items()]
    values = st.fixed_dictionaries({name: strategy for name, (_, strategy) in drawn.items()})
    return {"type": "record", "name": "R", "fields": fields}, values


@st.composite
def evolved(draw: st.DrawFn, writer: AvroSchema) -> AvroSchema:
    """A reader's schema that is near the writer's: fields dropped, added, widened, narrowed, renamed."""
    fields = []
    for field in writer["fields"]:
        change = draw(st.sampled_from(["keep", "keep", "drop", "rename", "nullable", "other"]))
        if change == "drop":
            continue
        kind, more, name = field["type"], {}, field["name"]
        if change == "rename":
            name, more = f"{name}2", {"aliases": [name]} if draw(st.booleans()) else {}
        if change == "nullable" and isinstance(kind, str):
            kind = ["null", draw(st.sampled_from(sorted(PRIMITIVES)))]
        if change == "other":
            kind = draw(st.sampled_from(sorted(PRIMITIVES)))
        fields.append({"name": name, "type": kind, **more})
    if draw(st.booleans()):
        fields.append({"name": "new", "type": "long", "default": 3})
    return {**writer, "fields": draw(st.permutations(fields))}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_called_compatible_can_be_read(data: st.DataObject) -> None:
    writer, values = data.draw(records())
    reader = data.draw(evolved(writer) | records().map(lambda pair: pair[0]))
    if incompatibilities(reader, writer):
        return
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(writer), data.draw(values))
    file.seek(0)
    read = fastavro.schemaless_reader(file, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    assert set(read) == {field["name"] for field in reader["fields"]}
    assert file.read() == b""


@given(pair=records())
@settings(max_examples=50, deadline=None)
def test_a_schema_reads_itself(pair: tuple[AvroSchema, Any]) -> None:
    assert incompatibilities(pair[0], pair[0]) == []
