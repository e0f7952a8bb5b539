"""Which partition a key belongs to: Kafka's murmur2, as its Java client's default partitioner.

Source: org.apache.kafka.common.utils.Utils.murmur2 and toPositive (Apache Kafka); MurmurHash2 by Austin Appleby.
A record without a key goes to partition 0: Kafka's own choice (sticky, round robin) is not deterministic.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_R: Final = 24
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit integer.

    >>> murmur2(b"21") - 2**32  # as Java shows it
    -973932308
    """
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> _R) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for(key: bytes | None, partitions: int) -> int:
    """The partition of a key; 0 where there is none.

    >>> partition_for(b"foobar", 12)
    6
    """
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_for(keys: pa.Array | pa.ChunkedArray, partitions: int) -> npt.NDArray[np.int64]:
    """The partition of each key of a string or binary array; a string is hashed as UTF-8.

    >>> partitions_for(pa.array(["foobar", None, "foobar"]), 12).tolist()
    [6, 0, 6]
    """
    encoded = pc.dictionary_encode(keys)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no chunk at all
        return np.zeros(0, np.int64)
    unique = _partitions(encoded.dictionary.cast(pa.large_binary()), partitions)
    places = encoded.indices.fill_null(len(unique)).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.int64] = np.append(unique, 0)[places]
    return found


def _partitions(keys: pa.LargeBinaryArray, partitions: int) -> npt.NDArray[np.int64]:
    """All keys at once: word by word over those long enough."""
    if len(keys) == 0:
        return np.zeros(0, np.int64)
    _, offsets_buffer, data_buffer = keys.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[keys.offset : keys.offset + len(keys) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    data = np.concatenate([data, np.zeros(4, np.uint8)])
    begin, length = offsets[:-1], np.diff(offsets)
    m = np.uint32(_M)
    h = np.uint32(_SEED) ^ length.astype(np.uint32)
    for word in range(int(length.max()) // 4):
        rows = np.flatnonzero(length >= 4 * word + 4)
        k = _word(data, begin[rows] + 4 * word) * m
        k = (k ^ k >> np.uint32(_R)) * m
        h[rows] = (h[rows] * m) ^ k
    rest = length % 4
    rows = np.flatnonzero(rest)
    tail = _word(data, begin[rows] + length[rows] - rest[rows])
    tail &= (np.uint32(1) << (8 * rest[rows]).astype(np.uint32)) - np.uint32(1)
    h[rows] = (h[rows] ^ tail) * m
    h = (h ^ h >> np.uint32(13)) * m
    h = h ^ h >> np.uint32(15)
    return (h & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions


def _word(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """The four bytes from each place on, little-endian."""
    words = np.zeros(len(at), np.uint32)
    for place in range(4):
        words |= data[at + place].astype(np.uint32) << np.uint32(8 * place)
    return words
