"""Partitions are Kafka's."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.log.murmur2 import murmur2, partition_for, partitions_for


@pytest.mark.parametrize(
    ("key", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_vectors_of_kafkas_own_test(key: bytes, java: int) -> None:
    assert murmur2(key) == java % 2**32


def test_no_key_is_partition_0() -> None:
    assert partition_for(None, 7) == 0
    assert partitions_for(pa.array([None, None], pa.binary()), 7).tolist() == [0, 0]
    assert partitions_for(pa.array([], pa.string()), 7).tolist() == []
    assert partitions_for(pa.chunked_array([], pa.string()), 7).tolist() == []


@given(keys=st.lists(st.none() | st.binary(max_size=40)), partitions=st.integers(1, 1000))
@settings(max_examples=100, deadline=None)
def test_many_at_once_are_the_same_as_one_by_one(keys: list[bytes | None], partitions: int) -> None:
    wanted = [partition_for(key, partitions) for key in keys]
    assert partitions_for(pa.array(keys, pa.binary()), partitions).tolist() == wanted
    doubled = pa.chunked_array([pa.array(keys, pa.large_binary()), pa.array(keys, pa.large_binary())])
    assert partitions_for(doubled, partitions).tolist() == wanted * 2


@given(keys=st.lists(st.text()), skipped=st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_text_is_hashed_as_utf_8(keys: list[str], skipped: int) -> None:
    found = partitions_for(pa.array(keys, pa.string())[skipped:], 12)
    assert found.tolist() == [partition_for(key.encode(), 12) for key in keys[skipped:]]
