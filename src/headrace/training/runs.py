"""The folders of training runs: each has the dataset, the models, the logs and the record of one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.training.record import Record

KEPT: Final = 3
"""How many of a project's last runs are kept, one that begins included; that of the champion is kept besides."""
_VERSION: Final = "version"


class Runs:
    """The runs of one project, in a folder that projects may share."""

    def __init__(self, home: Path, project: str) -> None:
        self._home = home
        self._prefix = f"{project}-"

    def begin(self) -> Path:
        """The folder of a new run."""
        self._home.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._home))

    def note(self, run: Path, version: int) -> None:
        """Notes the version that a run registered."""
        (run / _VERSION).write_text(f"{version}\n", encoding="utf-8")

    def records(self) -> Iterator[tuple[Path, Record]]:
        """The folders that have a record, newest first."""
        for folder in self._folders():
            record = Record.read(folder)
            if record is not None:
                yield folder, record

    def prune(self, champion: int | None) -> None:
        """Deletes old runs, so that `KEPT` are there when one more begins.

        champion: the version whose run stays, however old it is.
        """
        for run in self._folders()[KEPT - 1 :]:
            if champion is None or _version(run) != champion:
                shutil.rmtree(run, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Newest first."""
        runs = [run for run in self._home.glob(f"{self._prefix}*") if run.is_dir()]
        return sorted(runs, key=lambda run: run.stat().st_mtime_ns, reverse=True)


def _version(run: Path) -> int | None:
    file = run / _VERSION
    return int(file.read_text(encoding="utf-8")) if file.is_file() else None
