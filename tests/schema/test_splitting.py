"""Blocks as their records."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare.types import ColumnType
from headrace.errors import SchemaError
from headrace.log.batches import FRAMES, Batch, Block, Framed
from headrace.schema.avro import decode, encode_block, encode_records, nullable_schema
from headrace.schema.contract import AvroSchema
from headrace.schema.splitting import Splitter

COLUMNS = {"a": ColumnType("str"), "b": ColumnType("int"), "c": ColumnType("float"), "d": ColumnType("bool")}
NESTED = {
    "type": "record",
    "name": "Basket",
    "fields": [{"name": "items", "type": {"type": "array", "items": "string"}}, {"name": "n", "type": "long"}],
}


class One:
    """A registry of one schema."""

    def __init__(self, schema: AvroSchema) -> None:
        self.schema = schema

    def by_id(self, schema_id: int) -> AvroSchema:
        return self.schema


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.none() | st.text(max_size=300),
            "b": st.none() | st.integers(-(2**63), 2**63 - 1),
            "c": st.none() | st.floats(allow_nan=False),
            "d": st.none() | st.booleans(),
        }
    ),
    max_size=20,
)


@given(rows=_ROWS)
@settings(deadline=None)
def test_the_records_hold_what_the_block_holds(rows: list[dict[str, Any]]) -> None:
    schema = nullable_schema("t", COLUMNS)
    schemas: Any = One(schema)
    wire = pa.schema([("a", pa.string()), ("b", pa.int64()), ("c", pa.float64()), ("d", pa.bool_())])
    block = encode_block(pa.Table.from_pylist(rows, wire), 7, arrival=5)
    values = Splitter(schemas)(block)
    assert b"".join(value[5:] for value in values.to_pylist()) == block.body
    assert values.to_pylist() == encode_records(rows, schema, 7)
    columns = [pa.nulls(len(rows), pa.binary()), values, pa.array([5] * len(rows), pa.int64())]
    columns.append(pa.nulls(len(rows), FRAMES.field("headers").type))
    framed = Framed(pa.RecordBatch.from_arrays(columns, schema=FRAMES))
    found = [decode([Batch("t", 0, 0, content)], schemas, schema, COLUMNS).table for content in (block, framed)]
    assert found[0].to_pylist() == found[1].to_pylist()


def test_any_schema_is_split() -> None:
    rows = [{"items": ["a", "b"], "n": 1}, {"items": [], "n": 2**40}]
    framed = encode_records(rows, NESTED, 7)
    block = Block(7, 2, b"".join(value[5:] for value in framed), 0)
    schemas: Any = One(NESTED)
    assert Splitter(schemas)(block).to_pylist() == framed


def test_a_number_in_more_bytes_than_it_needs() -> None:
    schemas: Any = One({"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]})
    assert Splitter(schemas)(Block(1, 2, b"\x82\x00\x04", 0)).to_pylist() == [
        b"\x00\x00\x00\x00\x01\x82\x00",
        b"\x00\x00\x00\x00\x01\x04",
    ]


@pytest.mark.parametrize(("count", "body"), [(2, b"\x02"), (1, b"\x02\x04"), (1, b"\x82"), (1, b"")])
def test_what_is_no_block_is_refused(count: int, body: bytes) -> None:
    schemas: Any = One({"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]})
    with pytest.raises(SchemaError, match="a block of schema 1"):
        Splitter(schemas)(Block(1, count, body, 0))
