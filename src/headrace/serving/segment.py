"""The prediction log on the server's own disk: what was answered, before it was answered.

A segment is a file of frames: the payload's length and CRC-32 (4 bytes each, little endian), and the payload, the
JSON list of one request's predictions. A frame is one write to a file opened for appending, so the operating system
has it when `append` returns, and the death of the process loses nothing. (The death of the machine may: `fsync`
bounds it.)

A segment is named by its number; numbers rise, also over restarts, and a writer never appends to a segment that
another writer began. So all segments but the newest are complete, save for a frame that was cut off when the writer
died, which was never answered.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from headrace.errors import ServingError
from headrace.features.partials import Scalar

Logged = Mapping[str, Scalar]
"""One prediction: the columns of the predictions topic (docs/architecture.md)."""

_HEAD: Final = struct.Struct("<II")
_SUFFIX: Final = ".segment"
_ASIDE: Final = ".corrupt"
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode


class SegmentWriter:
    """Appends predictions to segments in a folder. One writer a folder.

    size: bytes after which the next segment begins. fsync: seconds between two syncs to the disk, None for none.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> writer = SegmentWriter(folder)
    >>> writer.append([{"_id": "a", "_prediction": 1.5}])
    >>> [segment] = segments(folder)
    >>> read_frames(segment, 0).rows
    [{'_id': 'a', '_prediction': 1.5}]
    >>> writer.close()
    """

    def __init__(self, folder: Path, size: int = 16_000_000, fsync: float | None = None) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._size = size
        self._fsync = fsync
        self._synced = time.monotonic()
        self._lock = Lock()
        self._file: int | None = None
        self._length = 0

    def append(self, rows: Sequence[Logged]) -> None:
        """One frame. ServingError where the disk does not take it: then nothing may be answered."""
        payload = _ENCODE(rows).encode()
        frame = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            try:
                file = self._current()
                written = os.write(file, frame)
                if written < len(frame):
                    raise OSError(f"only {written} of {len(frame)} bytes were written")
                self._length += written
                self._sync(file)
            except OSError as error:
                self._leave()
                raise ServingError(
                    f"prediction log {self._folder}", str(error), "see that the disk has room and can be written"
                ) from error

    def close(self) -> None:
        with self._lock:
            self._leave()

    def _current(self) -> int:
        if self._file is not None and self._length >= self._size:
            self._leave()
        if self._file is None:
            newest = max((number_of(path) for path in segments(self._folder)), default=0)
            number = max(newest + 1, time.time_ns() // 1_000_000)  # rises also where the folder was emptied
            path = self._folder / f"{number:020}{_SUFFIX}"
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            self._length = 0
        return self._file

    def _sync(self, file: int) -> None:
        now = time.monotonic()
        if self._fsync is not None and now - self._synced >= self._fsync:
            os.fdatasync(file)
            self._synced = now

    def _leave(self) -> None:
        """The next frame goes to a new segment: what may be half written stays at the end of the old one."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


@dataclass(frozen=True, slots=True)
class Frames:
    """What a read of a segment found. end: the byte after the last whole frame.

    corrupt: a frame of full length whose sum does not match stands at `end`.
    """

    rows: list[Logged]
    end: int
    corrupt: bool


def segments(folder: Path) -> list[Path]:
    """The segments of a folder, oldest first."""
    return sorted(Path(folder).glob(f"*{_SUFFIX}"))


def number_of(segment: Path) -> int:
    return int(segment.stem)


def read_frames(segment: Path, begin: int, limit: int = 8_000_000) -> Frames:
    """The whole frames from byte `begin` on, of about `limit` bytes (at least one frame)."""
    with segment.open("rb") as file:
        file.seek(begin)
        data = file.read(max(limit, _HEAD.size))
        if len(data) >= _HEAD.size:
            length, _ = _HEAD.unpack_from(data)
            data += file.read(max(0, _HEAD.size + length - len(data)))
    rows: list[Logged] = []
    at, corrupt = 0, False
    while at + _HEAD.size <= len(data):
        length, check = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(payload) < length:
            break
        if zlib.crc32(payload) != check:
            corrupt = True
            break
        rows.extend(json.loads(payload))
        at += _HEAD.size + length
    return Frames(rows, begin + at, corrupt)


def sound(segment: Path) -> bool:
    """Whether the sums of all whole frames match. (A frame that was cut off at the end was never answered.)"""
    with segment.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, check = _HEAD.unpack(head)
            payload = file.read(length)
            if len(payload) < length:
                break
            if zlib.crc32(payload) != check:
                return False
    return True


def set_aside(segment: Path) -> Path:
    """Takes a segment out of the log, and keeps it; its new path."""
    return segment.rename(segment.with_suffix(_ASIDE))


def aside(folder: Path) -> list[Path]:
    """What was set aside in a folder, oldest first."""
    return sorted(Path(folder).glob(f"*{_ASIDE}"))
