"""The ledger in a real log: what was committed is read back, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.log.sqlite import SqliteLog
from headrace.log.sqlite_writer import SqliteWriter
from headrace.retraining.ledger import Entry, Ledger
from headrace.schema.folder import FolderSchemas

SHOP = Path(__file__).parents[1] / "projects" / "shop.py"


def append_and_fail(ledger: Ledger, writer: SqliteWriter) -> None:
    with writer.transaction() as transaction:
        ledger.append(transaction, [Entry(6, "promote", "version 2")])
        raise RuntimeError


def test_entries_are_read_back_in_order(tmp_path: Path) -> None:
    log, schemas = SqliteLog(tmp_path / "log"), FolderSchemas(tmp_path / "schemas")
    ledger = Ledger(log, schemas, "demand.ledger")
    assert list(ledger.read()) == []
    ledger.create()
    writer = log.writer("monitor")
    first = [Entry(5, "alert", "mae", {"reason": "é", "value": 1.5}), Entry(5, "train", "model", {"reason": "x"})]
    with writer.transaction() as transaction:
        ledger.append(transaction, first)
    with pytest.raises(RuntimeError):
        append_and_fail(ledger, writer)
    with writer.transaction() as transaction:
        ledger.append(transaction, [])
        ledger.append(transaction, [Entry(7, "refuse", "version 2", {"reason": "not better"})])
    assert list(ledger.read()) == [*first, Entry(7, "refuse", "version 2", {"reason": "not better"})]
    writer.close()
    log.close()


def test_what_is_printed_is_as_it_was_written(tmp_path: Path) -> None:
    """Square brackets are no markup."""
    log, schemas = SqliteLog(tmp_path / "log"), FolderSchemas(tmp_path / "schemas")
    ledger = Ledger(log, schemas, "shop.ledger")
    ledger.create()
    writer = log.writer("monitor")
    with writer.transaction() as transaction:
        ledger.append(transaction, [Entry(0, "failed", "[x]", {"reason": "no list[int] in [/red]"})])
    writer.close()
    log.close()
    shown = CliRunner().invoke(app, ["ledger", str(SHOP), "--home", str(tmp_path)], catch_exceptions=False)
    assert "[x]" in shown.output
    assert "no list[int] in [/red]" in shown.output
