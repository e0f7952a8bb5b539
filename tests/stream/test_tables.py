from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.declare.declaration import TableDef
from headrace.declare.types import ColumnType
from headrace.errors import SourceError
from headrace.schema.avro import decode, nullable_schema
from headrace.stream.changes import Rows
from headrace.stream.layouts import change_columns
from headrace.stream.sources import read_source

KINDS = {
    "sku": ColumnType("str"),
    "size": ColumnType("int"),
    "weight": ColumnType("float", True),
    "fresh": ColumnType("bool", True),
    "since": ColumnType("time", True),
}
HEADER = "sku,size,weight,fresh,since,ignored\n"


def item(source: str, **options: Any) -> TableDef:
    return TableDef("item", source, ("sku",), 10_000, None, options.get("valid_from"), KINDS)


def changes(shop: Any, title: str = "store") -> list[tuple[Any, ...]]:
    topic = shop.topics.table(title)
    columns = change_columns(shop.tables[title])
    batches = shop.log.read(topic, 0, 0, 10**6)
    table = decode(batches, shop.schemas, nullable_schema(topic, columns), columns).table
    return [(r["store"], r["region"], r["_deleted"], r["_arrival"], r["_valid"]) for r in table.to_pylist()]


def test_changes_and_deletions_become_history(joined_shop: Any) -> None:
    shop = joined_shop
    shop.now = 1_000
    tables = shop.tables_role()
    assert tables.step() == 2
    assert tables.step() == 0  # not due
    shop.write_store("s1,south\ns3,east\n")
    shop.now = 11_000
    assert tables.step() == 3
    shop.stop(tables)
    shop.now = 21_000
    tables = shop.tables_role()  # the rows known are those of its topic
    assert tables.step() == 0
    assert changes(shop) == [
        ("s1", "north", False, 1_000, 1_000),
        ("s2", None, False, 1_000, 1_000),
        ("s1", "south", False, 11_000, 11_000),
        ("s2", None, True, 11_000, 11_000),
        ("s3", "east", False, 11_000, 11_000),
    ]
    assert shop.log.committed("tables").positions == {("shop.table.store", 0): 5}
    rows = Rows(shop.log, shop.schemas, shop.tables["store"], shop.topics.table("store"))
    rows.advance(None)
    assert rows.table.select(["store", "region"]).to_pylist() == [
        {"store": "s1", "region": "south"},
        {"store": "s3", "region": "east"},
    ]


def test_a_broken_source_leaves_the_rows_in_force(joined_shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    shop = joined_shop
    tables = shop.tables_role()
    tables.step()
    shop.write_store("s1,north\ns1,south\n")
    shop.now = 10_000
    assert tables.step() == 0
    assert "row 2" in str(tables.failures["store"])
    assert "row 2" in caplog.text
    assert len(changes(shop)) == 2
    shop.write_store("s1,south\n")
    shop.now = 20_000
    tables.step()
    assert tables.failures == {}
    assert len(changes(shop)) == 4


def test_what_was_never_loaded_is_not_committed(joined_shop: Any) -> None:
    (joined_shop.folder / "store.csv").unlink()
    tables = joined_shop.tables_role()
    tables.step()
    assert joined_shop.log.committed("tables").positions == {}
    assert "store.csv" in str(tables.failures["store"])


def test_csv_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "item.csv").write_text(
        HEADER + "a,1,0.5,true,2024-05-01 10:00:00.123,x\nb,-2,,false,,\nc|,3.0,7,,1970-01-01T00:00:00Z,\n"
    )
    duckdb.sql(
        "SELECT * FROM (VALUES ('a', 1::INTEGER, 0.5::FLOAT, true, TIMESTAMP '2024-05-01 10:00:00.123'), "
        "('b', -2, NULL, false, NULL), ('c|', 3, 7.0, NULL, TIMESTAMP '1970-01-01')) "
        "t(sku, size, weight, fresh, since)"
    ).write_parquet(str(tmp_path / "item.parquet"))
    from_csv = read_source(item("item.csv"), tmp_path)
    assert from_csv.equals(read_source(item("item.parquet"), tmp_path))
    assert from_csv.column("_key").to_pylist() == ["a", "b", "c\\|"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,1,,,,\nb,1.5,,,,\n", ["column size", "row 2", "1.5"]),
        ("a,x,,,,\n", ["column size", "row 1", "'x'"]),
        ("a,1,,,yesterday,\n", ["column since", "row 1", "yesterday"]),
        ("a,,,,,\n", ["column size", "null"]),
        (",1,,,,\n", ["sku", "row 1", "null"]),
        ("a,1,,,,\nb,1,,,,\na,2,,,,\n", ["sku", "row 3", "'a'"]),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, rows: str, words: list[str]) -> None:
    (tmp_path / "item.csv").write_text(HEADER + rows)
    with pytest.raises(SourceError) as caught:
        read_source(item("item.csv"), tmp_path)
    assert all(word in str(caught.value) for word in ["table item", *words])


@pytest.mark.parametrize("source", ["missing.csv", "item.xlsx", "postgresql://localhost/db"])
def test_a_source_that_is_none_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(SourceError, match="table item"):
        read_source(item(source), tmp_path)


def test_a_column_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "item.csv").write_text("sku\na\n")
    with pytest.raises(SourceError, match="column size"):
        read_source(item("item.csv"), tmp_path)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server."""
    given = os.environ.get("HEADRACE_TEST_POSTGRES")
    if given:
        yield given
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    pg_ctl = str(found[-1]) if found else shutil.which("pg_ctl")
    if pg_ctl is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no PostgreSQL: install it, or set HEADRACE_TEST_POSTGRES to an address")
        pytest.skip("no PostgreSQL here")
    folder = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if os.geteuid() == 0:  # servers refuse to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent != Path("/") and parent.name.startswith("pytest-"):
                parent.chmod(parent.stat().st_mode | 0o011)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    run = lambda *command: subprocess.run([*as_user, *command], check=True, capture_output=True, cwd="/")  # noqa: E731
    run(pg_ctl, "init", "-D", str(data), "-s", "-o", "-A trust -U postgres -E UTF8 --no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run(pg_ctl, "start", "-w", "-D", str(data), "-l", str(folder / "log"), "-o", options)
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    run(pg_ctl, "stop", "-w", "-m", "immediate", "-D", str(data))


def test_rows_of_postgresql(postgres: str, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(postgres) as connection:
        connection.execute("DROP TABLE IF EXISTS items")
        connection.execute(
            "CREATE TABLE items (sku text, size numeric, weight real, fresh boolean, since timestamptz)"
        )
        connection.execute("INSERT INTO items VALUES ('a', 1, 0.5, true, '2024-05-01 10:00:00.123+02')")
        connection.execute("INSERT INTO items VALUES ('b', 2)")
    found = read_source(item(postgres + "#public.items"), tmp_path)
    assert found.column("sku").to_pylist() == ["a", "b"]
    assert found.column("size").to_pylist() == [1, 2]
    assert found.column("since").to_pylist()[0].isoformat() == "2024-05-01T08:00:00.123000"
    assert found.column("weight").to_pylist() == [0.5, None]
    with psycopg.connect(postgres) as connection:
        connection.execute("UPDATE items SET size = 2.5 WHERE sku = 'b'")
    with pytest.raises(SourceError, match="column size, row 2"):
        read_source(item(postgres + "#items"), tmp_path)
    with pytest.raises(SourceError, match="nowhere cannot be read"):
        read_source(item(postgres + "#nowhere"), tmp_path)
