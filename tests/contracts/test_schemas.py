"""What every registry of schemas keeps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headrace.errors import IncompatibleSchema, SchemaError, UnknownSchema
from headrace.schema.contract import AvroSchema, Schemas
from headrace.schema.folder import FolderSchemas
from headrace.schema.registry import RegistrySchemas


@dataclass(frozen=True)
class Adapter:
    """open: this process's view of one registry. code: Python that makes another's, named `schemas`."""

    open: Callable[[], Schemas]
    code: str


_FOLDER = """
from pathlib import Path
from headrace.schema.folder import FolderSchemas
schemas = FolderSchemas(Path({folder!r}))
"""
_REGISTRY = "from headrace.schema.registry import RegistrySchemas; schemas = RegistrySchemas({url!r})"


@pytest.fixture(params=["folder", "registry"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    if request.param == "registry":
        url = request.getfixturevalue("registry_url")
        return Adapter(lambda: RegistrySchemas(url), _REGISTRY.format(url=url))
    folder = tmp_path / "schemas"
    return Adapter(lambda: FolderSchemas(folder), _FOLDER.format(folder=str(folder)))


@pytest.fixture
def sales() -> str:
    """A subject that no other test has."""
    return f"sales-{uuid4().hex[:12]}-value"


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


def test_a_registered_schema_is_found(schemas: Schemas, adapter: Adapter, sales: str) -> None:
    registered = schemas.register(sales, sale(units="long", city="string"))
    assert (registered.subject, registered.version) == (sales, 1)
    for view in (schemas, adapter.open()):
        assert view.by_id(registered.id) == registered.schema == sale(units="long", city="string")
        assert view.latest(sales) == registered
        assert view.versions(sales) == [registered]


def test_nothing_registered(schemas: Schemas, sales: str) -> None:
    assert schemas.latest(sales) is None
    assert schemas.versions(sales) == []
    with pytest.raises(UnknownSchema, match="1234567"):
        schemas.by_id(1234567)


def test_an_equal_schema_is_the_same_version(schemas: Schemas, adapter: Adapter, sales: str) -> None:
    first = schemas.register(sales, sale(units="long"))
    second = schemas.register(sales, with_default(sale(units="long"), "note", "string", ""))
    assert adapter.open().register(sales, sale(units="long")) == first
    assert schemas.versions(sales) == [first, second]
    assert second.version == 2


def test_an_id_is_of_one_schema_over_all_subjects(schemas: Schemas, sales: str) -> None:
    one = schemas.register(f"a-{sales}", sale(units="long"))
    two = schemas.register(f"b-{sales}", sale(units="long", city="string"))
    three = schemas.register(f"a-{sales}", with_default(sale(units="long"), "note", "string", ""))
    same = schemas.register(f"c-{sales}", sale(units="long"))
    assert len({one.id, two.id, three.id}) == 3
    assert schemas.by_id(two.id) == two.schema
    assert schemas.by_id(one.id) == schemas.by_id(same.id) == one.schema


def test_an_id_that_cannot_be(schemas: Schemas) -> None:
    with pytest.raises(UnknownSchema, match="4294967295"):
        schemas.by_id(2**32 - 1)


def test_many_versions_are_in_order(schemas: Schemas, sales: str) -> None:
    schema = sale(units="long")
    for number in range(12):
        schema = with_default(schema, f"f{number}", "long", number)
        schemas.register(sales, schema)
    assert [registered.version for registered in schemas.versions(sales)] == list(range(1, 13))
    latest = schemas.latest(sales)
    assert latest is not None
    assert latest.schema == schema


def test_an_incompatible_schema_is_refused_with_the_field(schemas: Schemas, sales: str) -> None:
    schemas.register(sales, sale(units="long"))
    with pytest.raises(IncompatibleSchema, match=rf"{sales}.*Sale\.units"):
        schemas.register(sales, sale(units="string"))
    with pytest.raises(IncompatibleSchema, match=r"Sale\.city.*default"):
        schemas.register(sales, sale(units="long", city="string"))
    assert len(schemas.versions(sales)) == 1


def test_what_would_be_refused_is_known_beforehand(schemas: Schemas, sales: str) -> None:
    schemas.refuse(sales, sale(units="long"))
    assert schemas.versions(sales) == []
    schemas.register(sales, sale(units="long"))
    schemas.refuse(sales, sale(units="long"))
    schemas.refuse(sales, with_default(sale(units="long"), "city", "string", ""))
    with pytest.raises(IncompatibleSchema, match=rf"{sales}.*Sale\.units"):
        schemas.refuse(sales, sale(units="string"))
    with pytest.raises(SchemaError):
        schemas.refuse(sales, {"type": "record", "name": "Sale", "fields": [{"name": "9", "type": "long"}]})
    assert len(schemas.versions(sales)) == 1


def test_transitive_compares_with_every_version(schemas: Schemas, sales: str) -> None:
    schemas.register(sales, sale(units="long", city="string"))
    schemas.register(sales, with_default(sale(units="long"), "note", "string", ""))
    third = with_default(sale(units="long"), "city", "long", 0)
    with pytest.raises(IncompatibleSchema, match=r"version 1.*Sale\.city"):
        schemas.register(sales, third)
    assert schemas.register(sales, third, "BACKWARD").version == 3


def test_none_compares_with_nothing(schemas: Schemas, sales: str) -> None:
    schemas.register(sales, sale(units="long"))
    assert schemas.register(sales, sale(units="string"), "NONE").version == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "record", "name": "Sale"},
        {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "integer"}]},
        {"type": "record", "name": "not a name", "fields": []},
    ],
)
def test_what_is_not_avro_is_refused(schemas: Schemas, sales: str, wrong: AvroSchema) -> None:
    with pytest.raises(SchemaError, match=sales):
        schemas.register(sales, wrong)
    assert schemas.latest(sales) is None


def test_processes_that_register_at_once_agree(schemas: Schemas, adapter: Adapter, sales: str) -> None:
    script = f"""{adapter.code}
for number in range(10):
    fields = [{{"name": f"f{{number}}", "type": "long", "default": 0}}]
    schema = {{"type": "record", "name": "Sale", "fields": fields}}
    one, two = schemas.register({sales!r}, schema), schemas.register(f"{{number % 3}}-{sales}", schema)
    print(one.id, one.version, two.id, two.version)
"""
    command = [sys.executable, "-c", script]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert printed[0] == printed[1] == printed[2]
    assert [known.version for known in schemas.versions(sales)] == list(range(1, 11))
    assert len({known.id for known in schemas.versions(sales)}) == 10
