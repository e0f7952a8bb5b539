"""Which history files the archive holds, kept as notes inside the Delta commits that brought their rows.

A *backfill epoch* is named by its files and its cut; each file belongs to the epoch under which it first entered,
for ever. The epoch is complete when all files of the backfill that named it are in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.archive.delta import Archive

CUT: Final = "cut"
"""The note of a stream's cut: history before it (ms), the live stream from it on."""


@dataclass(frozen=True, order=True, slots=True)
class BackfillEpoch:
    """number: the first 8 hex digits of a sha256, as a number, which is what a note can hold."""

    number: int

    @classmethod
    def of(cls, files: Iterable[str], until: int) -> BackfillEpoch:
        """The epoch of files (the first 16 hex digits of their sha256, in any order) and a cut (ms).

        >>> BackfillEpoch.of(["0f", "aa"], 0) == BackfillEpoch.of(["aa", "0f"], 0)
        True
        """
        text = "|".join([*sorted(set(files)), str(until)])
        return cls(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))

    @property
    def name(self) -> str:
        """As in tiles.

        >>> BackfillEpoch(0xABC).name
        'backfill-00000abc'
        """
        return f"backfill-{self.number:08x}"

    @property
    def note(self) -> str:
        """The note that says that it is complete."""
        return f"complete/{self.name}"


def file_note(file: str) -> str:
    """The note that holds the number of a file's epoch."""
    return f"file/{file}"


def epochs(
    archive: Archive, topic: str, files: Sequence[str], version: int | None = None
) -> dict[str, BackfillEpoch]:
    """The epoch of each file of a topic that is in the archive; others are left out."""
    notes = archive.notes(topic, [file_note(file) for file in files], version)
    return {file: BackfillEpoch(notes[file_note(file)]) for file in files if file_note(file) in notes}


def complete(
    archive: Archive, topic: str, found: Iterable[BackfillEpoch], version: int | None = None
) -> set[BackfillEpoch]:
    """Those of the epochs that are complete."""
    wanted = set(found)
    notes = archive.notes(topic, [epoch.note for epoch in wanted], version)
    return {epoch for epoch in wanted if epoch.note in notes}
