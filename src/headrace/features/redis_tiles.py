"""Tiles as the Redis store holds them: of one view and key, all in one string of records of 40 bytes.

A record begins with its place (hop and epoch), by which it is replaced. It is whole numbers or floats by what the
view is of, which only a reader knows. Tiles that hold text (the first and last event have ids) are *wide*: records
of any length, each a field of a hash.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.compile.tiles import slot
from headrace.declare.declaration import View
from headrace.errors import FeatureError
from headrace.features.partials import EMPTY, Partial, merge

PLACE: Final = 12
"""Bytes of a record's place: hop (ms), epoch's number."""
_PLACE: Final = struct.Struct("<qI")
_HEAD: Final = [("hop", "<i8"), ("epoch", "<u4"), ("newest", "<i8"), ("n", "<u4")]
_INTS: Final = np.dtype([*_HEAD, ("a", "<i8"), ("b", "<i8")])
_FLOATS: Final = np.dtype([*_HEAD, ("a", "<f8"), ("b", "<f8")])
_INT: Final = struct.Struct("<qIqIqq")
_FLOAT: Final = struct.Struct("<qIqIdd")
RECORD: Final = _INT.size
_WIDE: Final = struct.Struct("<qIqIqqI")
_FEW: Final = 24 * RECORD
"""Bytes up to which plain Python merges faster than NumPy begins."""


def packed(rows: pa.Table, epochs: npt.NDArray[np.uint32]) -> Iterator[tuple[str, bytes]]:
    """Of each key its records, one a place, the later over the earlier. epochs: the number of each row's."""
    if not rows.num_rows:
        return
    keys = rows["key"].combine_chunks().dictionary_encode()
    codes = keys.indices.to_numpy()
    records = np.empty(rows.num_rows, _INTS)
    n = rows["n"].to_numpy()
    if n.max() > 2**32 - 1:
        raise FeatureError("online store", f"a tile counts {n.max()} events", "choose a smaller hop, with every=")
    records["hop"], records["epoch"], records["n"] = rows["hop"].to_numpy(), epochs, n
    records["newest"] = rows["newest"].to_numpy()
    records["a"], records["b"] = _bits(rows, "a"), _bits(rows, "b")
    order = np.lexsort((records["epoch"], records["hop"], codes))  # stable: the later row stays the later
    records, codes = records[order], codes[order]
    same = (codes[1:] == codes[:-1]) & (records["hop"][1:] == records["hop"][:-1])
    last = np.append(~(same & (records["epoch"][1:] == records["epoch"][:-1])), True)
    records, codes = records[last], codes[last]
    content = records.tobytes()
    edges = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
    names = keys.dictionary.to_pylist()
    for begin, end in pairwise(edges):
        yield names[codes[begin]], content[begin * RECORD : end * RECORD]


def wide(row: Mapping[str, Any], epoch: int) -> bytes:
    """The record of a tile with text."""
    a, b = (_value(row, side) for side in ("a", "b"))
    texts = [a, b, _short(row["a_id"]), _short(row["b_id"])]
    tail = json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
    at = row["a_at"] or 0, row["b_at"] or 0
    return _WIDE.pack(row["hop"], epoch, row["newest"], row["n"], *at, len(tail)) + tail


def is_wide(rows: pa.Table) -> pa.ChunkedArray:
    return pc.or_(pc.is_valid(rows["a_text"]), pc.is_valid(rows["a_at"]))


def has_wide(view: View) -> bool:
    return view.family == "ends" or slot(view) == "text"


def merged(
    view: View, since: int, epochs: frozenset[int], records: bytes, wides: bytes
) -> tuple[Partial, int | None]:
    """The partial of the tiles from `since` (ms) on that are of the epochs, and their newest event time (ms)."""
    if len(records) > _FEW and not wides:
        return _merged_many(view, since, epochs, records)
    partials, times = [], []
    for hop, epoch, newest, n, a, b in (_FLOAT if slot(view) == "float" else _INT).iter_unpack(records):
        if hop >= since and epoch in epochs:
            partials.append(Partial(n, a, b if view.family in ("extremes", "moments") else None))
            times.append(newest)
    found = _heads(wides, since, epochs)
    times += [newest for newest, *_ in found]
    if view.family != "ends":
        return merge(view.family, [*partials, *(_unpacked(wides, head) for head in found)]), max(
            times, default=None
        )
    found = [head for head in found if head[1]]
    if not found:
        return EMPTY, max(times, default=None)
    # Texts are read of the first and the last only: dense ranges would be slow otherwise.
    first, last = min(a_at for _, _, a_at, *_ in found), max(b_at for _, _, _, b_at, *_ in found)
    ends = [_unpacked(wides, head) for head in found if head[2] == first or head[3] == last]
    return replace(merge("ends", ends), n=sum(n for _, n, *_ in found)), max(times)


def _merged_many(view: View, since: int, epochs: frozenset[int], records: bytes) -> tuple[Partial, int | None]:
    found = np.frombuffer(records, _FLOATS if slot(view) == "float" else _INTS)
    found = found[(found["hop"] >= since) & np.isin(found["epoch"], np.array([*epochs], np.uint32))]
    if not len(found):
        return EMPTY, None
    newest = int(found["newest"].max())
    found = found[found["n"] > 0]
    if not len(found):
        return EMPTY, newest
    n, a, b = (np.ascontiguousarray(found[name]) for name in ("n", "a", "b"))
    total = int(n.sum(dtype=np.int64))
    match view.family:
        case "total" if slot(view) == "float":
            return Partial(total, float(a.sum())), newest
        case "total":  # in two halves: no step on the way leaves 64 bits
            return Partial(total, (int((a >> 32).sum()) << 32) + int((a & 0xFFFFFFFF).sum())), newest
        case "moments":  # about one of the means (Chan, Golub and LeVeque 1979)
            shift = float((n * (a - a[0])).sum()) / total
            squares = float((b + n * (a - a[0] - shift) ** 2).sum())
            return Partial(total, float(a[0]) + shift, squares), newest
        case _:
            return Partial(total, a.min().item(), b.max().item()), newest


_Head = tuple[int, int, int, int, int, int]
"""Of a wide tile newest, n, a_at, b_at, and where its texts begin and end."""


def _heads(wides: bytes, since: int, epochs: frozenset[int]) -> list[_Head]:
    place, found = 0, []
    while place < len(wides):
        hop, epoch, newest, n, a_at, b_at, size = _WIDE.unpack_from(wides, place)
        begin = place + _WIDE.size
        place = begin + size
        if hop >= since and epoch in epochs:
            found.append((newest, n, a_at, b_at, begin, place))
    return found


def _unpacked(wides: bytes, head: _Head) -> Partial:
    _, n, a_at, b_at, begin, end = head
    a, b, a_id, b_id = json.loads(wides[begin:end])
    return Partial(n, a, b) if a_id is None else Partial(n, a, b, a_at, _full(a_id), b_at, _full(b_id))


def _bits(rows: pa.Table, side: str) -> npt.NDArray[np.int64]:
    """The slot's 64 bits, of a whole number or a float; 0 where it is empty."""
    floats, ints = rows[f"{side}_float"], rows[f"{side}_int"]
    bits: npt.NDArray[np.int64] = ints.fill_null(0).to_numpy()
    if floats.null_count < len(floats):
        bits = np.where(floats.is_valid().to_numpy(), floats.fill_null(0.0).to_numpy().view(np.int64), bits)
    return bits


def _value(row: Mapping[str, Any], side: str) -> Any:
    values = (row[f"{side}_{kind}"] for kind in ("int", "float", "text"))
    return next((value for value in values if value is not None), None)


def _short(id_: str | None) -> str | None:
    """An event's id without its padding; any other text after a sign."""
    if id_ is None:
        return None
    parts = id_.split("/")
    if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        short = f"{parts[0]}/{int(parts[1])}/{int(parts[2])}"
        if _full(short) == id_:
            return short
    return "=" + id_


def _full(short: str | None) -> str | None:
    if short is None or short.startswith("="):
        return None if short is None else short[1:]
    file, partition, offset = short.split("/")
    return f"{file}/{int(partition):05}/{int(offset):020}"
