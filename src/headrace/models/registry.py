"""The model registry: MLflow, on SQLite or behind a tracking server. Nothing else imports MLflow.

One experiment and one registered model a project. Aliases: `champion` is served, `challenger` was trained last and
waits for the comparison. The tag `succeeds` of the champion names the version that was served before it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from headrace.errors import MissingExtra, ModelError
from headrace.models.artifact import Artifact, load, verify

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
SUCCEEDS: Final = "succeeds"

_SQLITE: Final = "sqlite:///"
_FOLDER: Final = "model"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model. number: counts from 1. sha256: of its artifact. source: the URI of its files.

    succeeds: the number of the champion in whose place it came last.
    """

    number: int
    sha256: str
    run_id: str
    source: str
    tags: Mapping[str, str]
    succeeds: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return str(self.number)


class Registry:
    """The models of one project.

    tracking_uri: `sqlite:////folder/mlflow.db` (the files are kept beside it) or the address of a tracking server.
    cache: where `load` keeps files, by sha256. Opening one is free: MLflow is imported at the first need, and a
    SQLite registry that does not exist yet is empty.
    """

    def __init__(self, tracking_uri: str, project: str, cache: Path | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.project = project
        self._file = Path(tracking_uri.removeprefix(_SQLITE)) if tracking_uri.startswith(_SQLITE) else None
        near = self._file.parent if self._file else Path(tempfile.gettempdir()) / "headrace"
        self._cache = cache or near / "cache"

    # Writing

    def record(
        self,
        parameters: Mapping[str, int | float | str | bool],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> str:
        """Records a training run; its id."""
        client = self._writer()
        run_id: str = client.create_run(self._experiment(client), tags=dict(tags)).info.run_id
        for name, value in parameters.items():
            client.log_param(run_id, name, value)
        for name, metric in metrics.items():
            client.log_metric(run_id, name, metric)
        client.set_terminated(run_id)
        return run_id

    def register(self, folder: Path, run_id: str | None, tags: Mapping[str, str]) -> Version:
        """Registers the artifact in a folder as the next version, its files with a run (None: a new one).

        Raises ModelError when the artifact is not what was saved.
        """
        _, sha256 = verify(folder)
        client = self._writer()
        run = run_id or self.record({}, {}, tags)
        client.log_artifacts(run, str(folder), _FOLDER)
        if not client.search_registered_models(f"name = '{self.project}'"):
            client.create_registered_model(self.project)
        source = f"{client.get_run(run).info.artifact_uri}/{_FOLDER}"
        made = client.create_model_version(
            self.project, source, run, tags={**tags, "sha256": sha256}, await_creation_for=0
        )
        return self.version(int(made.version))

    def nominate(self, version: Version) -> str:
        """Makes a version the challenger, or the champion where there is none; which."""
        if self.champion() is None:
            self.promote(version)
            return CHAMPION
        self._set(CHALLENGER, version)
        return CHALLENGER

    def promote(self, version: Version) -> None:
        """Makes a version the champion; the champion so far becomes `previous`. Twice is once.

        Whom it succeeds is written to the version before, and the alias alone makes it the champion: a kill at any
        instant leaves the old champion and its predecessor, or the new ones.
        """
        old = self.champion()
        if old is None or old.number != version.number:
            if old is not None:
                self._writer().set_model_version_tag(self.project, str(version.number), SUCCEEDS, str(old.number))
            self._set(CHAMPION, version)
        if self._by_alias(CHALLENGER) == version:
            self._client.delete_registered_model_alias(self.project, CHALLENGER)

    def _set(self, alias: str, version: Version) -> None:
        self._writer().set_registered_model_alias(self.project, alias, str(version.number))

    # Reading

    def champion(self) -> Version | None:
        """The version that is served. Cheap: one query, and none before the registry exists."""
        return self._by_alias(CHAMPION)

    def challenger(self) -> Version | None:
        """The version that was trained last, where it is not the champion."""
        found = self._by_alias(CHALLENGER)
        return None if found == self.champion() else found

    def previous(self) -> Version | None:
        """The champion before the last promotion: what a rollback promotes."""
        champion = self.champion()
        return None if champion is None or champion.succeeds is None else self.version(champion.succeeds)

    def version(self, number: int) -> Version:
        """A version by its number; ModelError where there is none."""
        found = self._find(lambda client: client.get_model_version(self.project, str(number)))
        if found is None:
            raise ModelError(
                f"model {self.project} version {number}",
                f"the registry {self.tracking_uri} has no such version",
                "train a model first, or name a version that was registered",
            )
        return found

    def load(self, version: Version) -> Artifact:
        """The artifact of a version, from the cache on disk where it is there.

        Raises ModelError when the files are not those that were registered.
        """
        place = self._cache / version.sha256
        if not place.is_dir():
            self._fetch(version, place)
        return load(place, version.sha256)

    def _fetch(self, version: Version, place: Path) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._cache) as work:
            exceptions = _import("mlflow.exceptions")
            try:
                found = _import("mlflow.artifacts").download_artifacts(
                    artifact_uri=version.source, dst_path=work, tracking_uri=self.tracking_uri
                )
            except (exceptions.MlflowException, OSError) as error:
                raise ModelError(
                    f"model {self.project} version {version.number}",
                    f"its files at {version.source} cannot be read: {error}",
                    "restore them, or promote another version",
                ) from error
            verify(Path(found), version.sha256)
            # Another process may have fetched the same files meanwhile: a filled folder is never replaced.
            try:
                os.rename(found, place)
            except OSError:
                if not place.is_dir():
                    raise

    def _by_alias(self, alias: str) -> Version | None:
        return self._find(lambda client: client.get_model_version_by_alias(self.project, alias))

    def _find(self, ask: Any) -> Version | None:
        if self._file is not None and not self._file.exists():
            return None
        exceptions = _import("mlflow.exceptions")
        try:
            found = ask(self._client)
        except exceptions.MlflowException as error:
            # An alias that is not set is an invalid parameter, a model or version that is not there does not exist.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise ModelError(
                f"registry {self.tracking_uri}",
                f"it does not answer: {error.message}",
                "start it, or correct its URL",
            ) from error
        tags = dict(found.tags)
        before = tags.pop(SUCCEEDS, None)
        return Version(
            number=int(found.version),
            sha256=tags.get("sha256", ""),
            run_id=found.run_id or "",
            source=found.source,
            tags=tags,
            succeeds=None if before is None else int(before),
        )

    # MLflow

    @cached_property
    def _client(self) -> Any:
        return _connect(self.tracking_uri)

    def _writer(self) -> Any:
        """The client, after the database was made where there is none."""
        if self._file is not None and not self._file.exists():
            with _locked(self._file.with_suffix(".lock")):
                if not self._file.exists():
                    _create(self._file)
        return self._client

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.project)
        if found is not None:
            return str(found.experiment_id)
        place = None if self._file is None else (self._file.parent / "artifacts" / self.project).resolve().as_uri()
        return str(client.create_experiment(self.project, artifact_location=place))


def _import(name: str) -> Any:
    from importlib import import_module

    # No call home, and no log lines about its own migrations.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        with warnings.catch_warnings(action="ignore"):
            return import_module(name)
    except ImportError as error:
        raise MissingExtra("model registry", "mlflow", "train") from error


def _connect(uri: str) -> Any:
    client = _import("mlflow").MlflowClient
    # MLflow's first use of SQLAlchemy warns of what MLflow itself has to change.
    with warnings.catch_warnings(action="ignore"):
        return client(uri, uri)


def _create(file: Path) -> None:
    """Makes MLflow's database under another name first: a reader never sees one that is half migrated."""
    with tempfile.TemporaryDirectory(dir=file.parent) as work:
        made = Path(work) / file.name
        _connect(f"{_SQLITE}{made}").search_registered_models()
        shutil.copyfile(made, Path(work) / "done")
        os.rename(Path(work) / "done", file)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
