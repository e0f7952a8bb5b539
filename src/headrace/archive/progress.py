"""How far the archiver has come: a small file that is only ever behind the data, never ahead.

It is replaced atomically after the commits that it speaks of, so that a topic without new rows needs no commit of
its own when a mark passes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow.fs as pf

from headrace.log.batches import Partition

_NAME: Final = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """positions: below them all records are in the archive. mark: ms, passed by all partitions there."""

    positions: Mapping[Partition, int] = field(default_factory=dict)
    mark: int | None = None

    @classmethod
    def read(cls, files: pf.FileSystem, folder: str) -> Progress:
        """What was written last; nothing where nothing was."""
        try:
            with files.open_input_stream(f"{folder}/{_NAME}") as stream:
                found = json.loads(stream.read())
        except FileNotFoundError:
            return cls()
        positions = {(topic, partition): offset for topic, partition, offset in found["positions"]}
        return cls(positions, found["mark"])

    def write(self, files: pf.FileSystem, folder: str) -> None:
        """Replaces what was written before, all or nothing."""
        rows = [(topic, partition, offset) for (topic, partition), offset in self.positions.items()]
        text = json.dumps({"mark": self.mark, "positions": rows}).encode()
        path = f"{folder}/{_NAME}"
        local = isinstance(files, pf.LocalFileSystem)
        with files.open_output_stream(f"{path}.new" if local else path) as stream:  # a put of an object is atomic
            stream.write(text)
        if local:
            files.move(f"{path}.new", path)
