"""The schemas' contract: subjects, versions, ids, and compatibility.

A subject is `<topic>-value`. Every adapter passes tests/contracts/test_schemas.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Compatibility = Literal["NONE", "BACKWARD", "BACKWARD_TRANSITIVE"]
AvroSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as registered: its id is unique in the registry, its version counts within the subject."""

    id: int
    subject: str
    version: int
    schema: AvroSchema


class Schemas(Protocol):
    """A registry of Avro schemas."""

    def register(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> Registered:
        """Registers a version; an equal schema is the same version. IncompatibleSchema names the field."""
        ...

    def refuse(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> None:
        """Raises what `register` would raise, and registers nothing."""
        ...

    def by_id(self, schema_id: int) -> AvroSchema:
        """UnknownSchema where there is none; any other error where the registry cannot tell."""
        ...

    def latest(self, subject: str) -> Registered | None: ...

    def versions(self, subject: str) -> list[Registered]: ...
