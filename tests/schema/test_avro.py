"""The codec: what comes out is what went in, and exactly the bad records are refused."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from fastavro._read_py import read_data
from fastavro.io.binary_decoder import BinaryDecoder
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare.types import ColumnType, Kind
from headrace.errors import SchemaError, UnknownSchema
from headrace.log.batches import Batch, Block, Framed, Mark, Record
from headrace.schema.avro import (
    UNDECODABLE,
    decode,
    encode_block,
    encode_framed,
    encode_records,
    frame,
    frames,
    nullable_schema,
)
from headrace.schema.contract import AvroSchema, Compatibility, Registered
from headrace.schema.folder import FolderSchemas


class Known:
    """A registry of what it is given."""

    def __init__(self, **schemas: AvroSchema) -> None:
        self._schemas = {int(name.lstrip("v")): schema for name, schema in schemas.items()}

    def register(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> Registered:
        raise NotImplementedError

    def by_id(self, schema_id: int) -> AvroSchema:
        if schema_id not in self._schemas:
            raise UnknownSchema(f"schema {schema_id}", "there is none", "register it")
        return self._schemas[schema_id]

    def latest(self, subject: str) -> Registered | None:
        raise NotImplementedError

    def versions(self, subject: str) -> list[Registered]:
        raise NotImplementedError


VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "str": st.text(max_size=8) | st.sampled_from(["", "é", "日本", "x" * 200]),
    "int": st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70) | st.sampled_from([2**63 - 1, -(2**63)]),
    "float": st.floats(),
    "bool": st.booleans(),
    "time": st.integers(0, 253402300799999),
}


@st.composite
def columns(draw: st.DrawFn) -> dict[str, ColumnType]:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    return {name: ColumnType(draw(st.sampled_from(sorted(VALUES))), draw(st.booleans())) for name in names}


@st.composite
def tables(draw: st.DrawFn, kinds: dict[str, ColumnType], nullable: bool = False, rows: int = 12) -> pa.Table:
    count = draw(st.integers(0, rows))
    data = []
    for kind in kinds.values():
        values = VALUES[kind.kind] | st.none() if kind.nullable or nullable else VALUES[kind.kind]
        stored = pa.int64() if kind.kind == "time" else kind.arrow
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        data.append(pa.array(drawn, stored).cast(kind.arrow))
    return pa.table(data, list(kinds))


def schema_of(kinds: dict[str, ColumnType], swapped: bool = False) -> AvroSchema:
    def kind(column: ColumnType) -> Any:
        return column.avro[::-1] if swapped and column.nullable else column.avro

    return {"type": "record", "name": "R", "fields": [{"name": n, "type": kind(c)} for n, c in kinds.items()]}


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Values to compare: NaN is itself, times are ms."""
    listed = []
    for column in table.columns:
        plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        listed.append(["nan" if isinstance(v, float) and math.isnan(v) else v for v in plain.to_pylist()])
    return list(zip(*listed, strict=True))


def fastavro_rows(table: pa.Table) -> list[dict[str, Any]]:
    plain = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    return pa.table(plain, table.column_names).to_pylist()


def without_times(schema: AvroSchema) -> AvroSchema:
    """The same bytes, as plain numbers."""
    time = ColumnType("time").avro

    def plain(kind: Any) -> Any:
        return [plain(branch) for branch in kind] if isinstance(kind, list) else "long" if kind == time else kind

    return {**schema, "fields": [{**field, "type": plain(field["type"])} for field in schema["fields"]]}


class Strict(BinaryDecoder):
    """Fastavro's decoder, without what it reads as a record though no writer ever wrote it."""

    def read_boolean(self) -> bool:
        data = self.fo.read(1)
        if data not in (b"\0", b"\1"):
            raise ValueError("a boolean")
        return bool(data == b"\1")

    def read_long(self) -> int:
        begin = self.fo.tell()
        number: int = super().read_long()
        if self.fo.tell() - begin > 10 or not -(2**63) <= number < 2**63:
            raise ValueError("a number")
        return number

    read_int = read_long

    def read_index(self) -> int:
        index = self.read_long()
        if index < 0:
            raise IndexError("a branch")
        return index


def fastavro_record(file: io.BytesIO, schema: AvroSchema) -> dict[str, Any] | None:
    """What fastavro alone says: the record that begins where the file stands, or none."""
    named: dict[str, Any] = {"writer": {}, "reader": {}}
    try:
        record: dict[str, Any] = read_data(Strict(file), fastavro.parse_schema(without_times(schema)), named)
    except (EOFError, IndexError, ValueError, OverflowError):
        return None
    return record


def oracle(payload: bytes, schema: AvroSchema, names: Sequence[str]) -> tuple[Any, ...] | None:
    """A record of all the bytes, or none."""
    file = io.BytesIO(payload)
    record = fastavro_record(file, schema)
    if record is None or file.read(1):
        return None
    values = (record[name] for name in names)
    return tuple("nan" if isinstance(v, float) and math.isnan(v) else v for v in values)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_blocks_come_back(data: st.DataObject) -> None:
    kinds = data.draw(columns())
    schema = nullable_schema("topic", kinds)
    parts = data.draw(st.lists(tables(kinds, nullable=True), max_size=3))
    batches, offset = [], 5
    for part in parts:
        block = encode_block(part, 1, arrival=offset)
        batches.append(Batch("topic", 2, offset, block))
        offset += block.count
    decoded = decode(batches, Known(v1=schema), schema, kinds)
    whole = pa.concat_tables([pa.table([pa.array([], k.arrow) for k in kinds.values()], list(kinds)), *parts])
    assert rows_of(decoded.table.select(list(kinds))) == rows_of(whole)
    assert decoded.table.schema.types == [*(kind.arrow for kind in kinds.values()), *[pa.int64()] * 3]
    assert decoded.table.column("_offset").to_pylist() == list(range(5, offset))
    assert decoded.undecodable.num_rows == 0
    assert decoded.undecodable.schema == UNDECODABLE


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_block_is_what_fastavro_writes(data: st.DataObject) -> None:
    kinds = data.draw(columns())
    table = data.draw(tables(kinds, nullable=True))
    file = io.BytesIO()
    for row in fastavro_rows(table):
        fastavro.schemaless_writer(file, without_times(nullable_schema("t", kinds)), row)
    assert encode_block(table, 1, 0).body == file.getvalue()


@given(data=st.data(), swapped=st.booleans())
@settings(max_examples=80, deadline=None)
def test_frames_are_what_fastavro_writes_and_come_back(data: st.DataObject, swapped: bool) -> None:
    kinds = data.draw(columns())
    table, schema = data.draw(tables(kinds)), schema_of(kinds, swapped)
    framed = encode_framed(table, schema, 7, None, 3)
    wanted = encode_records(fastavro_rows(table), without_times(schema), 7)
    assert framed.records.column("value").to_pylist() == wanted
    decoded = decode([Batch("t", 0, 0, framed)], Known(v7=schema), schema, kinds)
    assert rows_of(decoded.table.select(list(kinds))) == rows_of(table)
    assert decoded.undecodable.num_rows == 0


@given(data=st.data(), swapped=st.booleans())
@settings(max_examples=150, deadline=None)
def test_exactly_what_is_no_record_is_undecodable(data: st.DataObject, swapped: bool) -> None:
    kinds = data.draw(columns())
    schema = schema_of(kinds, swapped)
    values = encode_framed(data.draw(tables(kinds)), schema, 1, None, 0).records.column("value").to_pylist()
    spoilt: list[bytes | None] = []
    for value in values:
        damage = data.draw(st.sampled_from(["none", "none", "cut", "flip", "longer", "garbage", "id", "null"]))
        if damage == "cut":
            value = value[: data.draw(st.integers(0, len(value)))]
        elif damage == "flip":
            place = data.draw(st.integers(0, len(value) - 1))
            flipped = value[place] ^ (1 << data.draw(st.integers(0, 7)))
            value = value[:place] + bytes([flipped]) + value[place + 1 :]
        elif damage == "longer":
            value += data.draw(st.binary(min_size=1, max_size=9))
        elif damage == "garbage":
            value = frame(1, data.draw(st.binary(max_size=30)))
        elif damage == "id":
            value = frame(9, value[5:])
        spoilt.append(None if damage == "null" else value)
    batch = Batch("t", 0, 100, Framed.of([Record(b"k", value) for value in spoilt], 0))
    decoded = decode([batch], Known(v1=schema), schema, kinds)
    wanted = {}
    for offset, value in enumerate(spoilt, 100):
        good = value is not None and value[:5] == frame(1, b"")
        wanted[offset] = oracle(value[5:], schema, list(kinds)) if good and value is not None else None
    read = dict(
        zip(decoded.table.column("_offset").to_pylist(), rows_of(decoded.table.select(list(kinds))), strict=True)
    )
    assert read == {offset: row for offset, row in wanted.items() if row is not None}
    lost = decoded.undecodable.to_pylist()
    assert [row["_offset"] for row in lost] == [offset for offset, row in wanted.items() if row is None]
    assert [row["value"] for row in lost] == [spoilt[row["_offset"] - 100] for row in lost]
    assert all(row["reason"] and row["key"] == b"k" for row in lost)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_broken_block_is_split(data: st.DataObject) -> None:
    kinds = data.draw(columns())
    schema = nullable_schema("t", kinds)
    table = data.draw(tables(kinds, nullable=True).filter(lambda table: table.num_rows > 0))
    block = encode_block(table, 1, 0)
    place = data.draw(st.integers(0, len(block.body) - 1))
    if data.draw(st.booleans()):
        body = block.body[:place]
    else:
        flipped = block.body[place] ^ (1 << data.draw(st.integers(0, 7)))
        body = block.body[:place] + bytes([flipped]) + block.body[place + 1 :]
    before, after = encode_block(table, 1, 1), encode_block(table, 1, 2)
    count = block.count
    batches = [
        Batch("t", 0, 0, before),
        Batch("t", 0, count, Block(1, count, body, 0)),
        Batch("t", 0, 2 * count, after),
    ]
    decoded = decode(batches, Known(v1=schema), schema, kinds)
    wanted, file = [], io.BytesIO(body)
    for number in range(count):
        record = fastavro_record(file, schema)
        if record is None or (number == count - 1 and file.tell() < len(body)):
            break
        wanted.append(tuple("nan" if isinstance(v, float) and math.isnan(v) else v for v in record.values()))
    rows = rows_of(table)
    assert rows_of(decoded.table.select(list(kinds))) == [*rows, *wanted, *rows]
    assert decoded.undecodable.column("_offset").to_pylist() == list(range(count + len(wanted), 2 * count))


OLD = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "string"}]}


@pytest.mark.parametrize(
    ("reader", "kinds", "wanted"),
    [
        ([{"name": "a", "type": "long"}], {"a": "int"}, (7,)),
        ([{"name": "a", "type": "double"}], {"a": "float"}, (7.0,)),
        ([{"name": "z", "type": ["null", "long"], "aliases": ["a"]}], {"z": "int"}, (7,)),
        ([{"name": "n", "type": "string", "default": "new"}, {"name": "b", "type": "string"}],
         {"n": "str", "b": "str"}, ("new", "x")),
        ([{"name": "n", "type": ["null", "long"], "default": None}], {"n": "int"}, (None,)),
        ([{"name": "b", "type": "string"},
          {"name": "n", "type": {"type": "array", "items": "long"}, "default": []}],
         {"b": "str"}, ("x",)),
        ([{"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 5}],
         {"t": "time"}, (5,)),
    ],
)  # fmt: skip
def test_an_older_writer_resolves_to_the_reader(
    reader: list[dict[str, Any]], kinds: dict[str, Kind], wanted: tuple[Any, ...]
) -> None:
    batch = Batch(
        "t", 0, 0, Framed.of([Record(None, v) for v in encode_records([{"a": 7, "b": "x"}] * 2, OLD, 1)], 0)
    )
    schema = {"type": "record", "name": "R", "fields": reader}
    decoded = decode([batch], Known(v1=OLD), schema, {name: ColumnType(kind, True) for name, kind in kinds.items()})
    assert rows_of(decoded.table.select(list(kinds))) == [wanted] * 2


def test_every_writer_is_read_with_its_own_schema_in_the_order_of_the_log() -> None:
    new = {**OLD, "fields": [{"name": "b", "type": "string"}, {"name": "a", "type": "long"}]}
    values = [encode_records([{"a": n, "b": str(n)}], OLD if n % 2 else new, n % 2 + 1)[0] for n in range(6)]
    values[3] = values[3][:-1]
    block = encode_block(pa.table({"a": [6, 7], "b": ["6", "7"]}), 3, arrival=9)
    batches = [
        Batch("t", 0, 0, Framed.of([Record(None, value) for value in values[:4]], 1)),
        Batch("t", 0, 4, Mark(5)),
        Batch("t", 0, 5, block),
        Batch("t", 1, 0, Framed.of([Record(None, value) for value in values[4:]], 2)),
    ]
    kinds = {"a": ColumnType("int", True)}
    reader = nullable_schema("R", {**kinds, "b": ColumnType("str")})
    decoded = decode(batches, Known(v1=new, v2=OLD, v3=reader), reader, kinds)
    assert decoded.table.to_pydict() == {
        "a": [0, 1, 2, 6, 7, 4, 5],
        "_partition": [0, 0, 0, 0, 0, 1, 1],
        "_offset": [0, 1, 2, 5, 6, 0, 1],
        "_arrival": [1, 1, 1, 9, 9, 2, 2],
    }
    assert decoded.undecodable.to_pylist() == [
        {
            "_partition": 0,
            "_offset": 3,
            "_arrival": 1,
            "key": None,
            "value": values[3],
            "reason": "it ends too early",
        }
    ]
    later = decode(batches, Known(v1=new, v2=OLD, v3=reader), reader, kinds, since={("t", 0): 4, ("t", 1): 1})
    assert later.table.column("a").to_pylist() == [6, 7, 5]
    assert later.undecodable.num_rows == 0


def test_a_nullable_writer_and_a_required_reader_lose_only_the_nulls() -> None:
    kinds = {"a": ColumnType("int")}
    writer, reader = nullable_schema("R", kinds), schema_of(kinds)
    batch = Batch("t", 0, 0, encode_framed(pa.table({"a": [1, None, 3]}), writer, 1, None, 0))
    decoded = decode([batch], Known(v1=writer), reader, kinds)
    assert decoded.table.column("a").to_pylist() == [1, 3]
    assert decoded.undecodable.column("_offset").to_pylist() == [1]


def test_microseconds_are_read_as_milliseconds() -> None:
    kind = {"type": "long", "logicalType": "timestamp-micros"}
    writer = {"type": "record", "name": "R", "fields": [{"name": "t", "type": kind}]}
    at = datetime(2024, 2, 29, 12, 30, 15, 123_999, tzinfo=UTC)
    kinds = {"t": ColumnType("time")}
    batch = Batch("t", 0, 0, Framed.of([Record(None, encode_records([{"t": at}], writer, 1)[0])], 0))
    decoded = decode([batch], Known(v1=writer), schema_of(kinds), kinds)
    assert decoded.table.column("t").to_pylist() == [datetime(2024, 2, 29, 12, 30, 15, 123_000)]


def test_the_reasons_name_what_is_wrong() -> None:
    kinds = {"a": ColumnType("int", True), "b": ColumnType("str")}
    schema = schema_of(kinds)
    values: dict[bytes | None, str] = {
        None: "it has no value (a tombstone)",
        b"": "it has no schema id before it",
        b"\x01\x00\x00\x00\x01\x00\x00": "it has no schema id before it",
        frame(8, b"\x00\x00"): "no schema has the id 8",
        frame(1, b"\x00"): "it ends too early",
        frame(1, b"\x08\x00\x00"): "a union or an enum has no such branch",
        frame(1, b"\x00\x02\xff"): "a text is not UTF-8",
        frame(1, b"\x00\x00\x00"): "bytes are left behind it",
        frame(1, b"\x01\x00\x00"): "a union or an enum has no such branch",
        frame(1, b"\x00\x01ab"): "a length is negative",
        frame(1, b"\x02" + b"\xff" * 9 + b"\x02\x00"): "a number is longer than 64 bits",
    }
    batch = Batch("t", 0, 0, Framed.of([Record(None, value) for value in values], 0))
    decoded = decode([batch], Known(v1=schema), schema, kinds)
    assert decoded.undecodable.column("reason").to_pylist() == list(values.values())
    block = Batch("t", 0, 0, Block(8, 2, b"body", 0))
    lost = decode([block], Known(v1=schema), schema, kinds).undecodable
    assert lost.column("reason").to_pylist() == [
        "no schema has the id 8",
        "the block is broken before it: no schema has the id 8",
    ]
    assert lost.column("value").to_pylist() == [b"body", None]


def test_a_registry_that_does_not_answer_is_an_error() -> None:
    class Away(Known):
        def by_id(self, schema_id: int) -> AvroSchema:
            raise SchemaError("registry", "it does not answer", "start it")

    kinds = {"a": ColumnType("int")}
    for content in (Framed.of([Record(None, frame(1, b"\x02"))], 0), Block(1, 1, b"\x02", 0)):
        with pytest.raises(SchemaError, match="does not answer"):
            decode([Batch("t", 0, 0, content)], Away(), schema_of(kinds), kinds)


def test_the_datas_own_place_wins() -> None:
    kinds = {name: ColumnType("int") for name in ("_arrival", "_partition", "_offset")}
    schema = nullable_schema("t", kinds)
    block = encode_block(pa.table({"_arrival": [1], "_partition": [2], "_offset": [3]}), 1, 40)
    row = decode([Batch("t", 5, 6, block)], Known(v1=schema), schema, kinds).table.to_pylist()
    assert row == [
        {"_arrival": 1, "_partition": 2, "_offset": 3, "_log_partition": 5, "_log_offset": 6, "_log_arrival": 40}
    ]


def test_no_batches_are_no_rows() -> None:
    kinds = {"a": ColumnType("str")}
    for batches in ([], [Batch("t", 0, 0, Mark(1))]):
        decoded = decode(batches, Known(), schema_of(kinds), kinds)
        assert decoded.table.column_names == ["a", "_partition", "_offset", "_arrival"]
        assert (decoded.table.num_rows, decoded.undecodable.num_rows) == (0, 0)


def test_a_column_that_the_reader_lacks_is_refused() -> None:
    kinds = {"a": ColumnType("int")}
    value = frame(1, b"\x02")
    batch = Batch("t", 0, 0, Framed.of([Record(None, value)], 0))
    with pytest.raises(SchemaError, match="no field b"):
        decode([batch], Known(v1=schema_of(kinds)), schema_of(kinds), {"b": ColumnType("int")})
    with pytest.raises(SchemaError, match="a is long"):
        decode([batch], Known(v1=schema_of(kinds)), schema_of(kinds), {"a": ColumnType("str")})


def test_what_does_not_fit_is_refused_when_written() -> None:
    schema = schema_of({"a": ColumnType("int")})
    with pytest.raises(SchemaError, match="a is required"):
        encode_framed(pa.table({"a": pa.array([None], pa.int64())}), schema, 1, None, 0)
    with pytest.raises(SchemaError, match="no column a"):
        encode_framed(pa.table({"b": [1]}), schema, 1, None, 0)
    with pytest.raises(SchemaError, match="'x'"):
        encode_records([{"a": "x"}], schema, 1)
    with pytest.raises(SchemaError, match="column a: it is list"):
        encode_block(pa.table({"a": [[1]]}), 1, 0)


def test_keys_arrivals_and_frames_as_they_came() -> None:
    schema = schema_of({"a": ColumnType("int")})
    framed = encode_framed(pa.table({"a": [1, 2]}), schema, 1, pa.array(["x", None]), pa.array([8, 9]))
    batches = [Batch("t", 3, 10, framed), Batch("t", 3, 12, Block(1, 1, b"\x02", 0))]
    assert frames(batches).to_pydict() == {
        "key": [b"x", None],
        "value": [frame(1, b"\x02"), frame(1, b"\x04")],
        "arrival": [8, 9],
        "_partition": [3, 3],
        "_offset": [10, 11],
    }


def test_other_arrow_types_are_written_alike(tmp_path: Path) -> None:
    kinds = {"s": ColumnType("str"), "n": ColumnType("int"), "t": ColumnType("time")}
    plain = pa.table({"s": ["x", "y"], "n": [1, 2], "t": pa.array([1, 2], pa.timestamp("ms"))})
    other = pa.table({
        "s": pa.chunked_array([pa.array(["x"]).dictionary_encode(), pa.array(["y"]).dictionary_encode()]),
        "n": pa.array([1, 2], pa.int16()),
        "t": pa.array([1000, 2000], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    assert encode_block(other, 1, 0) == encode_block(plain, 1, 0)
    schema = schema_of(kinds)
    assert encode_framed(other, schema, 1, None, 0) == encode_framed(plain, schema, 1, None, 0)
    FolderSchemas(tmp_path).register("t-value", nullable_schema("some-topic.of/ours", kinds))
