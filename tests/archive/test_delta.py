"""The archive's tables: one commit holds rows and what is remembered with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake.exceptions import CommitFailedError

from headrace.archive.delta import Archive
from headrace.archive.progress import Progress
from headrace.errors import SchemaError, SourceError

COLUMNS = pa.schema([("sku", pa.string()), ("at", pa.timestamp("ms")), ("_log_offset", pa.int64())])


def rows(*offsets: int) -> pa.Table:
    return pa.table([[f"s{n}" for n in offsets], [n * 1000 for n in offsets], list(offsets)], schema=COLUMNS)


def offsets(archive: Archive, version: int | None = None) -> list[int]:
    return sorted(archive.read("sales", version)["_log_offset"].to_pylist())


def test_rows_positions_and_mark_come_back_together(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.append("sales", rows(0, 1), {("sales", 0): 2, ("sales", 2): 5, ("other", 0): 9}, mark=70)
    again = Archive(tmp_path)
    assert again.position(["sales", "other"]) == {("sales", 0): 2, ("sales", 2): 5}
    assert again.note("sales", "mark") == 70
    assert again.read("sales").sort_by("_log_offset").equals(rows(0, 1))


def test_another_process_sees_what_was_appended(tmp_path: Path) -> None:
    one, other = Archive(tmp_path), Archive(tmp_path)
    for count in range(1, 4):
        one.append("sales", rows(count), {("sales", 0): count}, None)
        assert other.position(["sales"]) == {("sales", 0): count}
        assert len(offsets(other)) == count


def test_two_processes_append_in_turns(tmp_path: Path) -> None:
    one, other = Archive(tmp_path), Archive(tmp_path)
    for count in range(6):
        (one, other)[count % 2].append("sales", rows(count), {}, None)
    assert offsets(one) == list(range(6))


def test_a_topic_without_a_table_reads_as_empty_when_it_is_known(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with pytest.raises(SourceError, match="no table of this topic"):
        archive.read("sales")
    assert archive.knowing({"sales": COLUMNS}).read("sales").equals(COLUMNS.empty_table())
    assert archive.position(["sales"]) == {}
    assert archive.versions() == {}


def test_a_column_added_later_is_null_in_older_rows(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first = archive.append("sales", rows(0), {}, None)
    archive.append("sales", rows(1).append_column("tax", pa.array([0.5])), {}, None)
    assert archive.read("sales").sort_by("_log_offset")["tax"].to_pylist() == [None, 0.5]
    assert "tax" not in archive.read("sales", first).column_names


def test_a_column_that_is_declared_and_not_stored_yet_is_null(tmp_path: Path) -> None:
    Archive(tmp_path).append("sales", rows(0), {}, None)
    later = Archive(tmp_path, {"sales": pa.schema([("tax", pa.float64()), *COLUMNS])})
    assert later.read("sales")["tax"].to_pylist() == [None]
    assert later.read("sales").column_names == ["tax", *COLUMNS.names]


def test_a_changed_type_is_refused_by_name(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.append("sales", rows(0), {}, None)
    with pytest.raises(SchemaError, match="'sku' is string, and the new rows have int64"):
        archive.append("sales", pa.table({"sku": [1]}), {}, None)
    assert offsets(archive) == [0]


def test_a_stream_that_fails_appends_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.append("sales", rows(0), {("sales", 0): 1}, None)

    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows(*range(1, 100)).to_batches()
        raise ValueError("the disk is full")

    reader = pa.RecordBatchReader.from_batches(COLUMNS, broken())
    with pytest.raises(Exception, match="disk is full"):
        archive.append("sales", reader, {("sales", 0): 100}, None)
    assert offsets(archive) == [0]
    assert archive.position(["sales"]) == {("sales", 0): 1}


def test_what_was_noted_under_one_name_by_two_at_once_is_refused(tmp_path: Path) -> None:
    one, other = Archive(tmp_path), Archive(tmp_path)
    one.append("sales", rows(0), {}, None)

    def slow() -> Iterator[pa.RecordBatch]:
        thread = threading.Thread(target=other.append, args=("sales", rows(1), {}, None, {"file/a": 1}))
        thread.start()
        thread.join()
        yield from rows(1).to_batches()

    with pytest.raises(Exception, match=r"(?i)transaction"):
        one.append("sales", pa.RecordBatchReader.from_batches(COLUMNS, slow()), {}, None, {"file/a": 1})
    assert offsets(one) == [0, 1]


def test_columns_that_another_process_added_meanwhile_are_no_trouble(tmp_path: Path) -> None:
    one, other = Archive(tmp_path), Archive(tmp_path)
    one.append("sales", rows(0), {}, None)
    other.append("sales", rows(1).append_column("tax", pa.array([0.5])), {}, None)
    one.append("sales", rows(2).append_column("region", pa.array(["N"])), {("sales", 0): 3}, None)
    found = other.read("sales").sort_by("_log_offset")
    assert (found["tax"].to_pylist(), found["region"].to_pylist()) == ([None, 0.5, None], [None, None, "N"])


def test_positions_of_two_archivers_at_once_are_refused(tmp_path: Path) -> None:
    one, other = Archive(tmp_path), Archive(tmp_path)
    one.append("sales", rows(0), {("sales", 0): 1}, None)
    other.append("sales", rows(1), {("sales", 0): 2}, None)
    with pytest.raises(CommitFailedError, match=r"(?i)transaction"):
        one.append("sales", rows(1), {("sales", 0): 2}, None)
    assert offsets(one) == [0, 1]


def test_pinned_versions_outlive_compaction_and_vacuum(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    versions = [archive.append("sales", rows(n), {("sales", 0): n + 1}, n) for n in range(8)]
    assert archive.versions() == {"sales": versions[-1]}
    assert archive.compact() == {"sales": 7}
    assert archive.vacuum({"sales": [versions[3]]}, hours=0) > 0
    assert offsets(archive) == list(range(8))
    assert offsets(archive, versions[3]) == [0, 1, 2, 3]
    with pytest.raises(SourceError, match=f"files of version {versions[5]} were vacuumed"):
        archive.read("sales", versions[5])
    with pytest.raises(SourceError, match="version 999 cannot be read"):
        archive.read("sales", 999)
    again = Archive(tmp_path)
    assert again.position(["sales"]) == {("sales", 0): 8}
    assert again.note("sales", "mark") == 7


def test_rows_below_an_offset_are_a_filter(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.append("sales", rows(*range(10)), {}, None)
    found = archive.read("sales", columns=["sku"], where=ds.field("_log_offset") < 3)
    assert sorted(found["sku"].to_pylist()) == ["s0", "s1", "s2"]


def test_progress_is_replaced_whole(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.progress() == Progress()
    assert archive.mark() is None
    for mark in (1, 2):
        archive.remember(Progress({("sales", 0): mark}, mark))
    assert Archive(tmp_path).progress() == Progress({("sales", 0): 2}, 2)
    assert archive.position(["sales"]) == {("sales", 0): 2}
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
