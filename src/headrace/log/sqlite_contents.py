"""A batch's content as the columns of a row, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import LogError
from headrace.log.batches import FRAMES, Block, Content, Framed, Mark
from headrace.log.sqlite_file import corrupt

_FRAMED: Final = 0
_BLOCK: Final = 1
_MARK: Final = 2


def columns_of(topic: str, content: Content) -> tuple[object, ...]:
    """kind, schema id, earliest and latest arrival, payload."""
    match content:
        case Framed(records):
            if not records.schema.equals(FRAMES):
                raise LogError(
                    f"topic {topic}", f"the frames have the schema {records.schema}", "build them as batches.FRAMES"
                )
            bounds = pc.min_max(records.column("arrival"))
            return _FRAMED, None, bounds["min"].as_py(), bounds["max"].as_py(), memoryview(records.serialize())
        case Block(schema_id, _, body, arrival):
            return _BLOCK, schema_id, arrival, arrival, body
        case Mark(time):
            return _MARK, None, time, time, None


def content_of(kind: int, count: int, schema_id: int, latest: int, payload: bytes, path: Path) -> Content:
    if kind == _BLOCK:
        return Block(schema_id, count, payload, latest)
    if kind == _MARK:
        return Mark(latest)
    try:
        return Framed(pa.ipc.read_record_batch(pa.py_buffer(payload), FRAMES))
    except (pa.ArrowInvalid, OSError) as error:
        raise corrupt(path, str(error)) from error
