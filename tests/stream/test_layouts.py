"""The schemas that a declaration foretells are those that its roles register."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.compile.load import load
from headrace.errors import IncompatibleSchema
from headrace.log.sqlite import SqliteLog
from headrace.profiles import read_profile
from headrace.schema.folder import FolderSchemas
from headrace.serving.destinations import Predictions
from headrace.stream.enricher import Enricher
from headrace.stream.layouts import refuse_changes, schemas_of
from headrace.stream.producer import Producer
from headrace.stream.tables import Tables
from headrace.stream.tiler import Tiler

FRAUD = Path(__file__).parents[1] / "projects" / "fraud.py"


def test_the_roles_register_what_is_foretold(tmp_path: Path) -> None:
    declaration = load(FRAUD)
    log, schemas = SqliteLog(tmp_path / "log"), FolderSchemas(tmp_path / "schemas")
    for stream in declaration.streams.values():
        Producer(log, schemas, stream, partitions=1)
    for role in (
        Tables(declaration, log, schemas),
        Enricher(declaration, log, schemas),
        Tiler(declaration, log, schemas, lambda view, below: None),
    ):
        role.step()
        role.close()
    Predictions(declaration, schemas, lambda: 0)
    found = {path.name for path in (tmp_path / "schemas").iterdir() if path.is_dir()}
    foretold = schemas_of(declaration)
    raw = {f"{stream.topic}-value" for stream in declaration.streams.values()}
    later = {subject for subject in foretold if subject.endswith(".history-value")}
    assert found - raw == set(foretold) - later
    for subject in set(foretold) - later:
        registered = schemas.latest(subject)
        assert registered is not None
        assert registered.schema == foretold[subject]
    refuse_changes(declaration, schemas)
    log.close()


def test_check_refuses_what_topics_could_not_be_read_with(tmp_path: Path) -> None:
    declaration = load(FRAUD)
    profile = read_profile(declaration, "local", tmp_path)
    schemas = profile.open_schemas()
    subject, schema = next((s, d) for s, d in schemas_of(declaration).items() if ".enriched." in s)
    fields = [
        {**field, "type": ["null", "string"]} if field["name"] == "amount" else field for field in schema["fields"]
    ]
    assert fields != schema["fields"]
    schemas.register(subject, {**schema, "fields": fields})
    with pytest.raises(IncompatibleSchema, match=rf"{re.escape(subject)}.*amount"):
        refuse_changes(declaration, schemas)
    arguments = ["check", str(FRAUD), "--home", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    done = CliRunner().invoke(app, [*arguments, "--profile", "local"])
    assert isinstance(done.exception, IncompatibleSchema)
    assert len(schemas.versions(subject)) == 1
