"""What is particular to schemas in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.errors import SchemaError, UnknownSchema
from headrace.schema.folder import FolderSchemas

SALE = {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "long"}]}


def test_one_file_a_version(tmp_path: Path) -> None:
    FolderSchemas(tmp_path).register("sales-value", SALE)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.avsc")] == ["sales-value/1.avsc"]


def test_a_broken_file_is_an_error_and_not_an_unknown_schema(tmp_path: Path) -> None:
    schemas = FolderSchemas(tmp_path)
    schemas.register("sales-value", SALE)
    (tmp_path / "sales-value" / "1.avsc").write_text('{"id": 1, "sch')
    with pytest.raises(SchemaError, match=r"1\.avsc") as raised:
        FolderSchemas(tmp_path).by_id(1)
    assert not isinstance(raised.value, UnknownSchema)


def test_a_subject_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"\.\./x"):
        FolderSchemas(tmp_path).register("../x", SALE)
