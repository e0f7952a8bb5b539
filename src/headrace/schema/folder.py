"""Schemas in a folder: `<folder>/<subject>/<version>.avsc`, for one machine.

The id of a version is unique in the folder and stands in its file beside the schema. Processes that register at the
same time take turns (a lock file); a version's file appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.errors import SchemaError, UnknownSchema
from headrace.schema.checks import refuse_incompatible, refuse_malformed
from headrace.schema.contract import AvroSchema, Compatibility, Registered


class FolderSchemas:
    """A registry of Avro schemas in a folder.

    >>> import tempfile
    >>> schemas = FolderSchemas(Path(tempfile.mkdtemp()))
    >>> sale = {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "long"}]}
    >>> schemas.register("sales-value", sale).version
    1
    >>> schemas.latest("sales-value").schema == sale
    True
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._by_id: dict[int, Registered] = {}

    def register(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> Registered:
        with self._locked():
            versions = self.versions(subject)
            for known in versions:
                if known.schema == schema:
                    return known
            self.refuse(subject, schema, compatibility)
            taken = [registered.id for registered in self._all()]
            registered = Registered(max(taken, default=0) + 1, subject, len(versions) + 1, schema)
            self._write(registered)
        return registered

    def refuse(
        self, subject: str, schema: AvroSchema, compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", subject):
            raise SchemaError(
                f"subject {subject!r}", "its name cannot be a folder", "use letters, digits, '_', '-', '.' only"
            )
        refuse_malformed(subject, schema)
        versions = self.versions(subject)
        if schema not in [known.schema for known in versions]:
            refuse_incompatible(subject, schema, versions, compatibility)

    def by_id(self, schema_id: int) -> AvroSchema:
        if schema_id not in self._by_id:
            self._by_id = {registered.id: registered for registered in self._all()}
        if schema_id not in self._by_id:
            raise UnknownSchema(
                f"schema {schema_id}", f"{self._folder} has none with this id", "register it, or correct the folder"
            )
        return self._by_id[schema_id].schema

    def latest(self, subject: str) -> Registered | None:
        versions = self.versions(subject)
        return versions[-1] if versions else None

    def versions(self, subject: str) -> list[Registered]:
        found = [_read(path) for path in (self._folder / subject).glob("*.avsc")]
        return sorted(found, key=lambda registered: registered.version)

    def _all(self) -> Iterator[Registered]:
        return (_read(path) for path in self._folder.glob("*/*.avsc"))

    def _write(self, registered: Registered) -> None:
        folder = self._folder / registered.subject
        folder.mkdir(exist_ok=True)
        path = folder / f"{registered.version}.avsc"
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            content = {"id": registered.id, "schema": registered.schema}
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> Registered:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Registered(int(content["id"]), path.parent.name, int(path.stem), content["schema"])
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(f"schema file {path}", f"it is not as it was written: {error}", "restore it") from error
