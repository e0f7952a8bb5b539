"""A block as its records, each in Confluent's wire format: for a log that keeps records one by one."""

from __future__ import annotations

import io

import fastavro
import numpy as np
import pyarrow as pa

from headrace.errors import SchemaError
from headrace.log.batches import Block
from headrace.schema.container import read_blocks
from headrace.schema.contract import AvroSchema, Schemas
from headrace.schema.encoding import PREFIX
from headrace.schema.flat import Bytes, Field, Ints, fields_of
from headrace.schema.writing import record_ends


class Splitter:
    """Splits blocks at the bounds of their records, which only their schema tells.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.schema.folder import FolderSchemas
    >>> schemas = FolderSchemas(Path(tempfile.mkdtemp()))
    >>> sale = {"type": "record", "name": "Sale", "fields": [{"name": "sku", "type": "string"}]}
    >>> known = schemas.register("sales-value", sale)
    >>> Splitter(schemas)(Block(known.id, 2, b"\\x02a\\x04bc", arrival=0)).to_pylist()
    [b'\\x00\\x00\\x00\\x00\\x01\\x02a', b'\\x00\\x00\\x00\\x00\\x01\\x04bc']
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._fields: dict[int, list[Field] | None] = {}

    def __call__(self, block: Block) -> pa.Array:
        """A binary array. SchemaError where the body is not `count` records of its schema."""
        if block.schema_id not in self._fields:
            self._fields[block.schema_id] = fields_of(self._schemas.by_id(block.schema_id))
        fields = self._fields[block.schema_id]
        ends = None if not fields else _flat(block, fields)
        if ends is None:
            ends = _each(block, self._schemas.by_id(block.schema_id))
        return _framed(np.frombuffer(block.body, np.uint8), ends, PREFIX.pack(0, block.schema_id))


def _flat(block: Block, fields: list[Field]) -> Ints | None:
    """Where each record ends, from the sizes of its columns; None where one is not in its shortest form."""
    columns = read_blocks([(block.count, block.body)], fields)
    return None if columns is None else record_ends(columns, fields)


def _each(block: Block, schema: AvroSchema) -> Ints:
    parsed = fastavro.parse_schema(schema)
    file = io.BytesIO(block.body)
    ends = np.zeros(block.count, np.int64)
    try:
        for place in range(block.count):
            fastavro.schemaless_reader(file, parsed, None)
            ends[place] = file.tell()
    except (EOFError, ValueError, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise _broken(block, f"its record {place} cannot be read: {error!r}") from error
    if file.tell() != len(block.body):
        raise _broken(block, "bytes are left behind its last record")
    return ends


def _broken(block: Block, cause: str) -> SchemaError:
    return SchemaError(
        f"a block of schema {block.schema_id}", cause, "write it with the schema whose id it carries"
    )


def _framed(body: Bytes, ends: Ints, prefix: bytes) -> pa.Array:
    """The records behind the prefix: the body with the prefix put in before each."""
    rows = len(ends)
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[:rows]
    moved = ends + len(prefix) * np.arange(1, rows + 1)
    out = np.zeros(len(body) + len(prefix) * rows, np.uint8)
    inside = np.ones(len(out), np.bool_)
    heads = begins + len(prefix) * np.arange(rows)
    for place, byte in enumerate(prefix):
        out[heads + place] = byte
        inside[heads + place] = False
    out[inside] = body
    offsets = np.concatenate([np.zeros(1, np.int64), moved]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(out)])
