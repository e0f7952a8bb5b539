"""The states of a job that can be gone on from: its checkpoints and savepoints, as files.

Each job has a folder of its own below the cluster's, so that the newest state is found whoever wrote it last, also
when the job manager has forgotten the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow.fs

from headrace.errors import FlinkError

_MARK: Final = "_metadata"


@dataclass(frozen=True, slots=True)
class State:
    """A completed checkpoint or savepoint. path: its URL. at: when it was completed, ms."""

    path: str
    at: int


class States:
    """The states below a folder, given as a URL such as file:///var/flink/demand, since an instant (ms)."""

    def __init__(self, folder: str, since: int = 0) -> None:
        self._since = since
        self.folder = folder.rstrip("/")
        try:
            self._files, self._root = pyarrow.fs.FileSystem.from_uri(self.folder)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise FlinkError(
                f"the folder of checkpoints {folder}", str(error), "set checkpoints to a file:, s3: or gs: address"
            ) from error

    def newest(self) -> State | None:
        """The one that was completed last."""
        selector = pyarrow.fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        found = [file for file in self._files.get_file_info(selector) if file.base_name == _MARK]
        marks = [file for file in found if file.mtime_ns // 1_000_000 >= self._since]
        if not marks:
            return None
        last = max(marks, key=lambda file: file.mtime_ns)
        place = last.path.removesuffix("/" + _MARK).removeprefix(self._root)
        return State(self.folder + place, last.mtime_ns // 1_000_000)
