"""The columns of the topics that a project writes, and their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from headrace.compile.tiles import TILE
from headrace.declare.declaration import Declaration, StreamDef, TableDef
from headrace.declare.predictions import prediction_columns
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.schema.avro import nullable_schema
from headrace.schema.contract import AvroSchema, Schemas

_ENRICHED: Final[Mapping[str, ColumnType]] = {
    "_time": ColumnType("int", nullable=True),
    "_arrival": ColumnType("int", nullable=True),
    "_file": ColumnType("str", nullable=True),
    "_partition": ColumnType("int", nullable=True),
    "_offset": ColumnType("int", nullable=True),
}
"""What enrichment adds to a record beside the derived columns; times are ms."""
TILES: Final[Mapping[str, ColumnType]] = {
    "view": ColumnType("str", nullable=True),
    "key": ColumnType("str", nullable=True),
    "hop": ColumnType("int", nullable=True),
    "epoch": ColumnType("str", nullable=True),
    **{
        field.name: ColumnType(
            "str" if field.type == pa.string() else "int" if field.type == pa.int64() else "float", nullable=True
        )
        for field in list(TILE)[2:]
    },
}
"""The columns of the topics of tiles."""
_CHANGE: Final = {
    "_key": ColumnType("str", nullable=True),
    "_deleted": ColumnType("bool", nullable=True),
    "_arrival": ColumnType("int", nullable=True),
    "_valid": ColumnType("int", nullable=True),
}


def enriched_columns(stream: StreamDef) -> dict[str, ColumnType]:
    """The columns of an enriched record, all nullable: the stream's, the derived ones, and the system's own."""
    found = {name: ColumnType(kind.kind, nullable=True) for name, kind in stream.enriched.items()}
    return found | dict(_ENRICHED)


def change_columns(table: TableDef) -> dict[str, ColumnType]:
    """The columns of a change, all nullable: the table's, `_key`, `_deleted`, `_arrival` and `_valid` (ms)."""
    return {name: ColumnType(kind.kind, nullable=True) for name, kind in table.columns.items()} | _CHANGE


def schemas_of(declaration: Declaration) -> dict[str, AvroSchema]:
    """The schema of each subject of the topics that a project's roles write for each other."""
    topics = Topics.of(declaration)
    columns = {topics.enriched(title): enriched_columns(stream) for title, stream in declaration.streams.items()}
    columns |= {topics.table(title): change_columns(table) for title, table in declaration.tables.items()}
    columns |= {topics.tiles: dict(TILES), topics.history: dict(TILES)}
    columns |= {topics.predictions: prediction_columns(declaration)}
    return {f"{topic}-value": nullable_schema(topic, found) for topic, found in columns.items()}


def refuse_changes(declaration: Declaration, schemas: Schemas) -> None:
    """Raises IncompatibleSchema where a topic holds what the declaration could not read. Registers nothing."""
    for subject, schema in schemas_of(declaration).items():
        schemas.refuse(subject, schema)
