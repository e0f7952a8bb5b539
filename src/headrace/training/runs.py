"""The folders of training runs: each has the dataset, the models and the log of one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

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

    def prune(self, champion: int | None) -> None:
        """Deletes old runs, so that `KEPT` are there when one more begins.

        champion: the version whose run stays, however old it is.
        """
        runs = [run for run in self._home.glob(f"{self._prefix}*") if run.is_dir()]
        old = sorted(runs, key=lambda run: run.stat().st_mtime_ns, reverse=True)[KEPT - 1 :]
        for run in old:
            if champion is None or _version(run) != champion:
                shutil.rmtree(run, ignore_errors=True)


def _version(run: Path) -> int | None:
    file = run / _VERSION
    return int(file.read_text(encoding="utf-8")) if file.is_file() else None
