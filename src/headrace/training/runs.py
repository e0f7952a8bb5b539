"""The folders of training runs: each has the dataset, the models, the logs and the record of one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.errors import TrainingError
from headrace.training.record import Record

KEPT: Final = 3
"""How many of a project's last runs are kept, one that begins included; that of the champion is kept besides."""
REPORT: Final = "report.html"
"""The page about a run, in its folder."""
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

    def report(self, name: str | None = None) -> Path:
        """The page of a run, by the name of its folder or the version that it registered; None: of the last one.

        TrainingError where there is no such run, or it ended before it had a report.
        """
        runs = self._folders()
        if name is None:
            chosen = [run for run in runs if (run / REPORT).is_file()][:1]
        else:
            chosen = [run for run in runs if name in (run.name, str(_version(run)))][:1]
        if not chosen:
            known = ", ".join(run.name for run in runs) or "none"
            what = "training runs" if name is None else f"run {name}"
            raise TrainingError(
                f"{what} of {self._prefix[:-1]}",
                f"there is no report of it in {self._home}, which keeps the last {KEPT}",
                f"run headrace train, or name one of: {known}",
            )
        page = chosen[0] / REPORT
        if not page.is_file():
            raise TrainingError(
                f"run {chosen[0].name}", "it ended before it had a report", f"see {chosen[0] / 'run.log'}"
            )
        return page

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
