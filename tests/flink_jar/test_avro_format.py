"""The format `headrace-avro` says of every message what the Python decoder says: verdict, reason and values."""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare.types import ColumnType, Kind
from headrace.errors import UnknownSchema
from headrace.log.batches import Batch, Framed, Record
from headrace.schema.avro import decode, frame
from headrace.schema.contract import AvroSchema

FLINK: dict[Kind, str] = {"str": "TEXT", "int": "WHOLE", "float": "REAL", "bool": "TRUTH", "time": "WHOLE"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
IDS = count(1000)
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70)
TEXT = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["", "é", "日本", "\U0001f600x", "y" * 70]
)


class Known:
    """The registry's schemas, in this process."""

    def __init__(self, schemas: dict[int, AvroSchema]) -> None:
        self._schemas = schemas

    def by_id(self, schema_id: int) -> AvroSchema:
        if schema_id not in self._schemas:
            raise UnknownSchema(f"schema {schema_id}", "there is none", "register it")
        return self._schemas[schema_id]


def enum(*symbols: str, **more: Any) -> AvroSchema:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": "int"}],
}
WRITTEN: list[tuple[Any, st.SearchStrategy[Any], list[tuple[Any, Kind | None]]]] = [
    ("int", st.integers(-(2**31), 2**31 - 1),
     [("int", "int"), ("long", "int"), ("double", "float"), ("float", "float")]),
    ("long", INT64, [("long", "int"), (MILLIS, "time"), ("double", "float"), ("string", "str")]),
    (MILLIS, INT64, [(MILLIS, "time"), ("long", "int")]),
    (MICROS, INT64, [(MILLIS, "time"), ("long", "int")]),
    ("float", st.floats(width=32), [("float", "float"), ("double", "float")]),
    ("double", st.floats(), [("double", "float"), ("long", "int")]),
    ("boolean", st.booleans(), [("boolean", "bool"), (["null", "boolean"], "bool")]),
    ("string", TEXT,
     [("string", "str"), (["null", "string"], "str"), ("bytes", None), (["long", "string"], None)]),
    ("bytes", st.binary(max_size=5), [("string", "str"), ("bytes", None)]),
    (enum("A", "B", "C"), st.sampled_from("ABC"),
     [(enum("A", "B", "C"), "str"),
      (enum("A", "B"), "str"), (enum("C", "D", default="D"), "str"), ("string", "str")]),
    ({"type": "fixed", "name": "F", "size": 2}, st.binary(min_size=2, max_size=2),
     [({"type": "fixed", "name": "F", "size": 2}, None), ({"type": "fixed", "name": "F", "size": 3}, None)]),
    (["null", "long"], st.none() | INT64,
     [(["null", "long"], "int"), ("long", "int"), (["null", "double"], "float"), (["long", "null"], "int")]),
    (["string", "null"], st.none() | TEXT, [(["null", "string"], "str"), (["null", "long"], "int")]),
    (["null", "int", "string"], st.none() | st.integers(0, 9) | TEXT,
     [(["null", "string"], "str"), (["string", "long"], None), ("string", "str")]),
    ({"type": "array", "items": ["null", "long"]}, st.lists(st.none() | INT64, max_size=3),
     [({"type": "array", "items": ["null", "long"]}, None), ({"type": "array", "items": "double"}, None),
      ({"type": "array", "items": "string"}, None)]),
    ({"type": "map", "values": "string"}, st.dictionaries(TEXT, TEXT, max_size=2),
     [({"type": "map", "values": "string"}, None), ({"type": "map", "values": "long"}, None)]),
    (INNER, st.builds(lambda a, b: {"a": a, "b": b}, TEXT, st.integers(0, 9)),
     [(INNER, None), ({**INNER, "fields": INNER["fields"][1:]}, None),
      ({**INNER, "fields": [{"name": "z", "type": "long"}]}, None)]),
]  # fmt: skip
DEFAULTS: list[tuple[Any, Any, Kind]] = [
    ("long", 5, "int"), ("double", 2, "float"), ("string", "né", "str"), (["null", "long"], None, "int"),
    ("boolean", True, "bool"), (MILLIS, -7, "time"), (enum("A"), "A", "str"),
]  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn) -> tuple[AvroSchema, AvroSchema, dict[str, ColumnType], st.SearchStrategy[Any]]:
    """A writer's schema, one that may read it, the reader's columns, and records of the writer's."""
    chosen = draw(st.lists(st.integers(0, len(WRITTEN) - 1), min_size=1, max_size=5, unique=True))
    written, read, columns, values = [], [], {}, {}
    for place in chosen:
        kind, strategy, readers = WRITTEN[place]
        name = f"f{place}"
        written.append({"name": name, "type": kind})
        values[name] = strategy
        fate = draw(st.sampled_from(["same", "same", "other", "renamed", "dropped"]))
        if fate == "dropped":
            continue
        reader, column = draw(st.sampled_from(readers)) if fate != "same" else readers[0]
        new = f"g{place}" if fate == "renamed" else name
        read.append({"name": new, "type": reader, **({"aliases": ["h", name]} if new != name else {})})
        if column is not None:
            columns[new] = ColumnType(column, True)
    if draw(st.booleans()) or not columns:
        kind, default, column = draw(st.sampled_from(DEFAULTS))
        kind = {**kind, "name": "N"} if isinstance(kind, dict) and "symbols" in kind else kind
        read.append({"name": "new", "type": kind, "default": default})
        columns["new"] = ColumnType(column, True)
    if draw(st.integers(0, 19)) == 0:
        read.append({"name": "missing", "type": "long"})
    writer = {"type": "record", "name": "R", "namespace": "a.b", "fields": written}
    reader = {"type": "record", "name": "R", "fields": draw(st.permutations(read))}
    return writer, reader, columns, st.fixed_dictionaries(values)


def plain(kind: Any) -> Any:
    """Without logical times, which fastavro takes as datetimes only."""
    if isinstance(kind, list):
        return [plain(part) for part in kind]
    if not isinstance(kind, dict):
        return kind
    return "long" if "logicalType" in kind else kind


def payload(schema: AvroSchema, record: Any) -> bytes:
    file = io.BytesIO()
    fields = [{**field, "type": plain(field["type"])} for field in schema["fields"]]
    fastavro.schemaless_writer(file, fastavro.parse_schema({**schema, "fields": fields}), record)
    return file.getvalue()


def spoilt(draw: st.DrawFn, value: bytes) -> bytes | None:
    match draw(st.sampled_from(["no", "no", "cut", "flip", "flip", "longer", "garbage", "id", "null", "head"])):
        case "cut":
            return value[: draw(st.integers(0, len(value)))]
        case "flip":
            place = draw(st.integers(0, len(value) - 1))
            return value[:place] + bytes([value[place] ^ 1 << draw(st.integers(0, 7))]) + value[place + 1 :]
        case "longer":
            return value + draw(st.binary(min_size=1, max_size=9))
        case "garbage":
            return value[:5] + draw(st.binary(max_size=30))
        case "id":
            return frame(draw(st.sampled_from([9, 2**31 + 5, 2**32 - 1])), value[5:])
        case "null":
            return None
        case "head":
            return draw(st.binary(max_size=6))
        case _:
            return value


@st.composite
def corpora(draw: st.DrawFn) -> tuple[AvroSchema, AvroSchema, dict[str, ColumnType], list[bytes | None], int]:
    writer, reader, columns, values = draw(pairs())
    schema_id = next(IDS)
    records = [
        frame(schema_id, payload(writer, record)) for record in draw(st.lists(values, min_size=1, max_size=6))
    ]
    return writer, reader, columns, [spoilt(draw, record) for record in records], schema_id


def same(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def python_says(
    schemas: dict[int, AvroSchema],
    reader: AvroSchema,
    columns: dict[str, ColumnType],
    records: Sequence[bytes | None],
) -> list[tuple[Any, ...]]:
    """For each record its values and no reason, or nothing and the reason."""
    batch = Batch("t", 0, 0, Framed.of([Record(None, record) for record in records], 0))
    found = decode([batch], Known(schemas), reader, columns)  # type: ignore[arg-type]
    table = found.table.select([*columns, "_offset"])
    plain = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    said = {row[-1]: (*map(same, row[:-1]), None) for row in zip(*(c.to_pylist() for c in plain), strict=True)}
    nothing = [None] * len(columns)
    said |= {row["_offset"]: (*nothing, row["reason"]) for row in found.undecodable.to_pylist()}
    return [said[offset] for offset in range(len(records))]


def asked(
    url: str, reader: AvroSchema, columns: Sequence[tuple[str, str]], records: Sequence[bytes | None], **more: Any
) -> dict[str, Any]:
    written = [None if record is None else record.hex() for record in records]
    given = {"do": "decode", "url": url, "schema": json.dumps(reader), "columns": list(columns), "records": written}
    return given | more


def java_says(
    drive: Any, url: str, reader: AvroSchema, columns: dict[str, ColumnType], records: Sequence[bytes | None]
) -> list[tuple[Any, ...]]:
    wanted = [
        *((name, FLINK[column.kind]) for name, column in columns.items()),
        ("_error", "TEXT"),
        ("_value", "BYTES"),
    ]
    answer = drive.ask(asked(url, reader, wanted, records))
    assert "error" not in answer, answer
    assert [row[-1] for row in answer["rows"]] == [None if record is None else record.hex() for record in records]
    kinds = [column.kind for column in columns.values()]
    return [
        (*(same(_double(v) if k == "float" else v) for v, k in zip(row, kinds, strict=False)), row[-2])
        for row in answer["rows"]
    ]


def _double(bits: int | None) -> float | None:
    return None if bits is None else float(struct.unpack("<d", struct.pack("<q", bits))[0])


@pytest.fixture(scope="module")
def drive(program: Callable[..., Any]) -> Any:
    return program("Drive")


@given(corpus=corpora())
@settings(max_examples=100, deadline=None)
def test_both_say_the_same_of_every_message(drive: Any, registry: Any, corpus: Any) -> None:
    writer, reader, columns, records, schema_id = corpus
    registry.schemas = {schema_id: writer}
    wanted = python_says(registry.schemas, reader, columns, records)
    assert java_says(drive, registry.url, reader, columns, records) == wanted


def record(**fields: Any) -> AvroSchema:
    return {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
FAR = b"\xff" * 9


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("string", None, "it has no value (a tombstone)"),
        ("string", b"", "it ends too early"),
        ("string", b"\x01ab", "a length is negative"),
        ("string", FAR + b"\x01ab", "a length is negative"),
        ("bytes", b"\xfe" + b"\xff" * 8 + b"\x01ab", "it ends too early"),
        ("string", b"\x06\xed\xa0\x80", "a text is not UTF-8"),
        ("string", b"\x04\xc0\x80", "a text is not UTF-8"),
        ("string", b"\x08\xf4\x90\x80\x80", "a text is not UTF-8"),
        ("long", FAR + b"\x02", "a number is longer than 64 bits"),
        ("long", FAR + b"\xff\x01", "a number is longer than 64 bits"),
        ("boolean", b"\x02", "a boolean is neither 0 nor 1"),
        (["null", "long"], b"\x01", "a union or an enum has no such branch"),
        (["null", "long"], b"\x04", "a union or an enum has no such branch"),
        (enum("A"), b"\x02", "a union or an enum has no such branch"),
        ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\x01\x00", "it ends too early"),
        ({"type": "array", "items": "null"}, FAR + b"\x01\x00\x00", "it ends too early"),
        ({"type": "array", "items": "long"}, b"\x01\x02\x02\x00", "bytes are left behind it"),
        (NODE, b"\x02" * 100 + b"\x00", "it is nested too deeply"),
        (NODE, b"\x02" * 62 + b"\x00", "bytes are left behind it"),
    ],
)  # fmt: skip
def test_the_reasons(drive: Any, registry: Any, kind: Any, body: bytes | None, reason: str) -> None:
    schema_id = next(IDS)
    registry.schemas = {schema_id: record(a=kind)}
    reader = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long", "default": 3}]}
    for schema in (reader, {**record(a=kind), "fields": [*record(a=kind)["fields"], *reader["fields"]]}):
        message = (
            None if body is None else frame(schema_id, body + b"\x00" * (reason == "bytes are left behind it"))
        )
        column = {"n": ColumnType("int", True)}
        says = python_says(registry.schemas, schema, column, [message])
        both = [says, java_says(drive, registry.url, schema, column, [message])]
        assert both == [[(None, reason)]] * 2


def test_a_record_that_broke_spoils_no_other(drive: Any, registry: Any) -> None:
    schema_id = next(IDS)
    registry.schemas = {schema_id: record(a="string", b="double")}
    good = frame(schema_id, payload(registry.schemas[schema_id], {"a": "x" * 100, "b": 0.5}))
    messages = [m for cut in range(len(good)) for m in (good[:cut], good)]
    said = java_says(drive, registry.url, registry.schemas[schema_id], {"b": ColumnType("float", True)}, messages)
    assert said[1::2] == [(0.5, None)] * len(good)
    assert all(reason for _, reason in said[::2])


def test_times_outside_of_the_calendar_are_read(drive: Any, registry: Any) -> None:
    schema_id = next(IDS)
    registry.schemas = {schema_id: record(t=MILLIS)}
    times = [-(2**63), -1, 0, 253402300800000, 2**63 - 1]
    messages = [frame(schema_id, payload(registry.schemas[schema_id], {"t": time})) for time in times]
    for kind in ("WHOLE", "TIME"):
        answer = drive.ask(asked(registry.url, registry.schemas[schema_id], [("t", kind)], messages))
        assert answer == {"rows": [[time] for time in times]}


@pytest.mark.parametrize("schema_id", ["BROKEN", "SILENT", "LOST", "STRANGE"])
def test_an_outage_is_an_outage(drive: Any, registry: Any, schema_id: str) -> None:
    message = frame(getattr(registry, schema_id), b"\x02")
    answer = drive.ask(asked(registry.url, record(a="long"), [("a", "WHOLE"), ("_error", "TEXT")], [message]))
    assert answer["error"] == "IOException", answer
    away = "http://127.0.0.1:9/api"
    answer = drive.ask(asked(away, record(a="long"), [("a", "WHOLE"), ("_error", "TEXT")], [message]))
    assert answer["error"] == "IOException"
    assert away in answer["text"]


def test_each_schema_is_asked_for_once_and_with_the_authorization(drive: Any, registry: Any) -> None:
    known, unknown = next(IDS), next(IDS)
    registry.schemas, registry.asked = {known: record(a="long")}, []
    messages = [frame(known, b"\x02"), frame(unknown, b"\x02")] * 50
    drive.ask(
        asked(registry.url + "/", record(a="long"), [("_error", "TEXT")], messages, authorization="Basic eA==")
    )
    assert registry.asked == [(known, "Basic eA=="), (unknown, "Basic eA==")]


def test_an_undecodable_record_needs_a_column_for_its_reason(drive: Any, registry: Any) -> None:
    answer = drive.ask(asked(registry.url, record(a="long"), [("a", "WHOLE")], [b"x"]))
    assert answer["error"] == "IOException"
    assert "it has no schema id before it" in answer["text"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ([("b", "WHOLE")], "it has no field b"),
        ([("a", "TEXT")], "its field a is long"),
        ([("a", "OTHER")], "its field a is long"),
        ([("_error", "WHOLE")], "_error is not STRING"),
        ([("_value", "TEXT")], "_value is not BYTES"),
    ],
)
def test_a_column_that_does_not_fit_is_refused_at_once(drive: Any, columns: Any, text: str) -> None:
    answer = drive.ask(asked("http://127.0.0.1:9", record(a="long"), columns, []))
    assert answer["error"] == "ValidationException"
    assert text in answer["text"]


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_what_fastavro_writes(drive: Any, data: st.DataObject) -> None:
    kinds = {
        "WHOLE": ("long", INT64), "TEXT": ("string", TEXT), "REAL": ("double", st.floats()),
        "TRUTH": ("boolean", st.booleans()), "TIME": (MILLIS, INT64), "BYTES": ("bytes", st.binary(max_size=4)),
    }  # fmt: skip
    columns, fields, values = [], [], {}
    for place, kind in enumerate(data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=6))):
        avro, strategy = kinds[kind]
        union = data.draw(st.sampled_from([None, 0, 1]))
        fields.append({"name": f"f{place}", "type": avro if union is None else ["null", avro][:: 1 - 2 * union]})
        columns.append((f"f{place}", kind))
        values[f"f{place}"] = strategy if union is None else strategy | st.none()
    schema = {"type": "record", "name": "R", "fields": fields}
    rows = data.draw(st.lists(st.fixed_dictionaries(values), max_size=5))
    columns = data.draw(st.permutations([*columns, ("_value", "BYTES"), ("_other", "OTHER")]))

    def given_(row: dict[str, Any], name: str) -> Any:
        value = row.get(name)
        if isinstance(value, float):
            return struct.unpack("<q", struct.pack("<d", value))[0]
        return value.hex() if isinstance(value, bytes) else value

    sent = [[given_(row, name) for name, _ in columns] for row in rows]
    schema_id = data.draw(st.sampled_from([1, 77_777, 2**31 - 1]))
    question = {"do": "encode", "schema": json.dumps(schema), "id": schema_id, "columns": columns, "rows": sent}
    wanted = [frame(schema_id, payload(schema, row)).hex() for row in rows]
    assert drive.ask(question) == {"records": wanted}
    for kind in ("DELETE", "UPDATE_BEFORE"):
        assert drive.ask({**question, "kind": kind}) == {"records": [None] * len(rows)}
    assert drive.ask({**question, "kind": "UPDATE_AFTER"}) == {"records": wanted}


@pytest.mark.parametrize(
    ("schema", "columns", "rows", "text"),
    [
        (record(a="long", b="long"), [("a", "WHOLE")], [], "no column b"),
        (record(a="string"), [("a", "WHOLE")], [], "the field a cannot be written"),
        (record(a=["null", "long", "string"]), [("a", "WHOLE")], [], "the field a cannot be written"),
        (record(a=MICROS), [("a", "TIME")], [], "the field a cannot be written"),
        (record(a="long"), [("a", "WHOLE")], [[None]], "the field a is required and null"),
        (record(a="int"), [("a", "WHOLE")], [[2**31]], "overflow"),
    ],
)
def test_what_cannot_be_written_is_refused(drive: Any, schema: Any, columns: Any, rows: Any, text: str) -> None:
    answer = drive.ask({"do": "encode", "schema": json.dumps(schema), "id": 1, "columns": columns, "rows": rows})
    assert text in answer["text"], answer
