"""What every registry refuses: what is not Avro, and what could not read what was written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import fastavro

from headrace.errors import IncompatibleSchema, SchemaError
from headrace.schema.compatibility import incompatibilities
from headrace.schema.contract import AvroSchema, Compatibility, Registered


def refuse_malformed(subject: str, schema: AvroSchema) -> None:
    """Raises SchemaError where the schema is no Avro record."""
    try:
        fastavro.parse_schema(schema)
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, KeyError, TypeError) as error:
        raise SchemaError(
            f"subject {subject}", f"the schema is not Avro: {error!r}", "correct the schema"
        ) from error
    wrong = [name for name in _names(schema) if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name, re.ASCII)]
    if wrong or schema.get("type") != "record" or not isinstance(schema.get("fields"), list):
        cause = f"{wrong[0]!r} is no name in Avro" if wrong else "the schema is not a record with fields"
        raise SchemaError(f"subject {subject}", cause, "correct the schema")


def refuse_incompatible(
    subject: str, schema: AvroSchema, versions: Sequence[Registered], compatibility: Compatibility
) -> None:
    """Raises IncompatibleSchema where the new schema cannot read what the compatibility says it must."""
    if compatibility == "NONE":
        return
    against = versions[-1:] if compatibility == "BACKWARD" else versions
    for old in reversed(against):
        reasons = incompatibilities(schema, old.schema)
        if reasons:
            raise IncompatibleSchema(
                f"subject {subject}",
                f"the new schema cannot read what version {old.version} wrote: {'; '.join(reasons)}",
                "give new fields a default, keep the types of the others, and rename with an alias",
            )


def _names(schema: Any) -> Iterator[str]:
    """Of the types and fields inside; fastavro accepts any."""
    if isinstance(schema, list):
        for part in schema:
            yield from _names(part)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield str(schema["name"])
        for part in ("type", "fields", "items", "values"):
            yield from _names(schema.get(part))
