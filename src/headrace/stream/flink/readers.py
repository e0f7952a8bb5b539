"""What a stream's records are read and written with: the registered schemas."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.declare.declaration import Declaration, StreamDef
from headrace.declare.topics import Topics
from headrace.schema.avro import nullable_schema
from headrace.schema.contract import AvroSchema, Schemas
from headrace.stream.layouts import enriched_columns
from headrace.stream.producer import raw_schema


@dataclass(frozen=True)
class Reader:
    """What is registered for one stream: the schema that raw records are read with, the enriched one and its id."""

    raw: AvroSchema
    enriched: AvroSchema
    enriched_id: int


def readers(declaration: Declaration, schemas: Schemas) -> dict[str, Reader]:
    """Of every stream, by title. IncompatibleSchema before anything is deployed, where one no longer fits."""
    topics = Topics.of(declaration)
    found = {}
    for title, stream in declaration.streams.items():
        enriched = topics.enriched(title)
        schema = nullable_schema(enriched, enriched_columns(stream))
        registered = schemas.register(f"{enriched}-value", schema)
        found[title] = Reader(_raw(stream, schemas), schema, registered.id)
    return found


def _raw(stream: StreamDef, schemas: Schemas) -> AvroSchema:
    """The newest registered schema that has every declared column, else the declared one."""
    latest = schemas.latest(f"{stream.topic}-value")
    if latest is not None and set(stream.columns) <= {field["name"] for field in latest.schema["fields"]}:
        return latest.schema
    return raw_schema(stream)
