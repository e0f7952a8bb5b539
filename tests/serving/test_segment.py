"""The prediction log on disk: whole frames only, whatever happened to the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import ServingError
from headrace.serving.segment import SegmentWriter, number_of, read_frames, segments

SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
REQUESTS = st.lists(st.lists(st.dictionaries(st.text(max_size=3), SCALAR, max_size=3), min_size=1, max_size=3))


def written(folder: Path, requests: list[list[dict[str, Any]]], size: int = 16_000_000) -> list[Path]:
    writer = SegmentWriter(folder, size=size)
    for rows in requests:
        writer.append(rows)
    writer.close()
    return segments(folder)


def all_rows(paths: list[Path], limit: int = 8_000_000) -> list[Any]:
    rows: list[Any] = []
    for path in paths:
        begin = 0
        while (frames := read_frames(path, begin, limit)).rows:
            rows += frames.rows
            begin = frames.end
    return rows


@settings(max_examples=50, deadline=None)
@given(REQUESTS, st.integers(1, 200), st.integers(1, 60))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, requests: list[Any], size: int, limit: int
) -> None:
    paths = written(tmp_path_factory.mktemp("log"), requests, size)
    assert all_rows(paths, limit) == [row for rows in requests for row in rows]


@settings(max_examples=50, deadline=None)
@given(REQUESTS.filter(bool), st.data())
def test_a_torn_tail_costs_the_torn_frame_only(
    tmp_path_factory: pytest.TempPathFactory, requests: list[Any], data: st.DataObject
) -> None:
    [path] = written(tmp_path_factory.mktemp("log"), requests)
    ends = [0]
    while len(ends) <= len(requests):
        ends.append(read_frames(path, ends[-1], limit=1).end)
    length = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, length)
    whole = sum(end <= length for end in ends) - 1
    frames = read_frames(path, 0)
    assert frames.rows == [row for rows in requests[:whole] for row in rows]
    assert (frames.end, frames.corrupt) == (ends[whole], False)


def test_a_changed_byte_is_corrupt(tmp_path: Path) -> None:
    [path] = written(tmp_path, [[{"a": 1}], [{"a": 2}]])
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    frames = read_frames(path, 0)
    assert (frames.rows, frames.corrupt) == ([{"a": 1}], True)


def test_segments_rotate_and_rise_over_restarts(tmp_path: Path) -> None:
    first = written(tmp_path, [[{"a": n}] for n in range(5)], size=20)
    assert len(first) > 1
    again = written(tmp_path, [[{"a": 9}]])
    assert again[:-1] == first
    assert number_of(again[-1]) > number_of(first[-1])
    for path in again:
        path.unlink()
    [fresh] = written(tmp_path, [[{"a": 1}]])
    assert number_of(fresh) >= number_of(first[0])


def test_a_full_disk_is_an_error_and_the_next_frame_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([{"a": 1}])
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
        with pytest.raises(ServingError, match="bytes were written"):
            writer.append([{"a": 2}])
    writer.append([{"a": 3}])
    writer.close()
    assert all_rows(segments(tmp_path)) == [{"a": 1}, {"a": 3}]


def test_it_is_synced_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    writer = SegmentWriter(tmp_path, fsync=0.0)
    writer.append([{"a": 1}])
    writer.close()
    assert len(synced) == 1
