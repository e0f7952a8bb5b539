"""MLflow, reached: on a SQLite file or behind a tracking server. Nothing imports MLflow but by way of this."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from headrace.errors import MissingExtra

SQLITE: Final = "sqlite:///"
_SETTINGS: Final = {
    # No call home, no log lines about its own migrations, no bars.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is gone is told within seconds: MLflow's own default is minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}


class Tracking:
    """The client of one address, made at the first need; a SQLite file is made at the first write."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.file = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None

    @property
    def exists(self) -> bool:
        """False for a SQLite file that nobody has written to."""
        return self.file is None or self.file.exists()

    @cached_property
    def client(self) -> Any:
        return _connect(self.uri)

    def writer(self) -> Any:
        """The client, after the database was made where there is none."""
        if self.file is not None and not self.file.exists():
            with _locked(self.file.with_suffix(".lock")):
                if not self.file.exists():
                    _create(self.file)
        return self.client


def mlflow(name: str = "mlflow") -> Any:
    """A module of MLflow; MissingExtra where it is not installed."""
    from importlib import import_module

    for setting, value in _SETTINGS.items():
        os.environ.setdefault(setting, value)
    try:
        with warnings.catch_warnings(action="ignore"):
            return import_module(name)
    except ImportError as error:
        raise MissingExtra("model registry", "mlflow", "train") from error


def pages(search: Callable[..., Any], *given: Any) -> list[Any]:
    """Everything that a search of MLflow's has."""
    found = search(*given)
    rows = list(found)
    while found.token:
        found = search(*given, page_token=found.token)
        rows += found
    return rows


def _connect(uri: str) -> Any:
    client = mlflow().MlflowClient
    # MLflow's first use of SQLAlchemy warns of what MLflow itself has to change.
    with warnings.catch_warnings(action="ignore"):
        return client(uri, uri)


def _create(file: Path) -> None:
    """Makes MLflow's database under another name first: a reader never sees one that is half migrated."""
    with tempfile.TemporaryDirectory(dir=file.parent) as work:
        made = Path(work) / file.name
        _connect(f"{SQLITE}{made}").search_registered_models()
        shutil.copyfile(made, Path(work) / "done")
        os.rename(Path(work) / "done", file)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
