"""What every registry of schemas keeps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import IncompatibleSchema, SchemaError, UnknownSchema
from headrace.schema.contract import AvroSchema, Schemas
from headrace.schema.folder import FolderSchemas


@dataclass(frozen=True)
class Adapter:
    """open: this process's view of one registry. code: Python that makes another's, named `schemas`."""

    open: Callable[[], Schemas]
    code: str


@pytest.fixture(params=["folder"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    folder = tmp_path / "schemas"
    imports = "from pathlib import Path; from headrace.schema.folder import FolderSchemas"
    return Adapter(lambda: FolderSchemas(folder), f"{imports}; schemas = FolderSchemas(Path({str(folder)!r}))")


@pytest.fixture
def schemas(adapter: Adapter) -> Schemas:
    return adapter.open()


def sale(**fields: Any) -> AvroSchema:
    return {
        "type": "record",
        "name": "Sale",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


def with_default(schema: AvroSchema, name: str, kind: Any, default: Any) -> AvroSchema:
    return {**schema, "fields": [*schema["fields"], {"name": name, "type": kind, "default": default}]}


def test_a_registered_schema_is_found(schemas: Schemas, adapter: Adapter) -> None:
    registered = schemas.register("sales-value", sale(units="long", city="string"))
    assert (registered.subject, registered.version) == ("sales-value", 1)
    for view in (schemas, adapter.open()):
        assert view.by_id(registered.id) == registered.schema == sale(units="long", city="string")
        assert view.latest("sales-value") == registered
        assert view.versions("sales-value") == [registered]


def test_nothing_registered(schemas: Schemas) -> None:
    assert schemas.latest("sales-value") is None
    assert schemas.versions("sales-value") == []
    with pytest.raises(UnknownSchema, match="77"):
        schemas.by_id(77)


def test_an_equal_schema_is_the_same_version(schemas: Schemas, adapter: Adapter) -> None:
    first = schemas.register("sales-value", sale(units="long"))
    second = schemas.register("sales-value", with_default(sale(units="long"), "note", "string", ""))
    assert adapter.open().register("sales-value", sale(units="long")) == first
    assert schemas.versions("sales-value") == [first, second]
    assert second.version == 2


def test_ids_are_unique_over_subjects(schemas: Schemas) -> None:
    one = schemas.register("a-value", sale(units="long"))
    two = schemas.register("b-value", sale(units="long"))
    three = schemas.register("a-value", with_default(sale(units="long"), "note", "string", ""))
    assert len({one.id, two.id, three.id}) == 3
    assert schemas.by_id(two.id) == sale(units="long")


def test_many_versions_are_in_order(schemas: Schemas) -> None:
    schema = sale(units="long")
    for number in range(12):
        schema = with_default(schema, f"f{number}", "long", number)
        schemas.register("sales-value", schema)
    assert [registered.version for registered in schemas.versions("sales-value")] == list(range(1, 13))
    latest = schemas.latest("sales-value")
    assert latest is not None
    assert latest.schema == schema


def test_an_incompatible_schema_is_refused_with_the_field(schemas: Schemas) -> None:
    schemas.register("sales-value", sale(units="long"))
    with pytest.raises(IncompatibleSchema, match=r"sales-value.*Sale\.units"):
        schemas.register("sales-value", sale(units="string"))
    with pytest.raises(IncompatibleSchema, match=r"Sale\.city.*default"):
        schemas.register("sales-value", sale(units="long", city="string"))
    assert len(schemas.versions("sales-value")) == 1


def test_transitive_compares_with_every_version(schemas: Schemas) -> None:
    schemas.register("sales-value", sale(units="long", city="string"))
    schemas.register("sales-value", with_default(sale(units="long"), "note", "string", ""))
    third = with_default(sale(units="long"), "city", "long", 0)
    with pytest.raises(IncompatibleSchema, match=r"version 1.*Sale\.city"):
        schemas.register("sales-value", third)
    assert schemas.register("sales-value", third, "BACKWARD").version == 3


def test_none_compares_with_nothing(schemas: Schemas) -> None:
    schemas.register("sales-value", sale(units="long"))
    assert schemas.register("sales-value", sale(units="string"), "NONE").version == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "record", "name": "Sale"},
        {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "integer"}]},
        {"type": "record", "name": "not a name", "fields": []},
    ],
)
def test_what_is_not_avro_is_refused(schemas: Schemas, wrong: AvroSchema) -> None:
    with pytest.raises(SchemaError, match="sales-value"):
        schemas.register("sales-value", wrong)
    assert schemas.latest("sales-value") is None


def test_processes_that_register_at_once_agree(schemas: Schemas, adapter: Adapter) -> None:
    script = (
        adapter.code
        + """
for number in range(10):
    schema = {"type": "record", "name": "Sale", "fields": [{"name": f"f{number}", "type": "long", "default": 0}]}
    print(schemas.register("sales-value", schema).id, schemas.register(f"{number % 3}-value", schema).id)
"""
    )
    command = [sys.executable, "-c", script]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert printed[0] == printed[1] == printed[2]
    assert len(schemas.versions("sales-value")) == 10
    assert len(set(printed[0].split())) == 20
