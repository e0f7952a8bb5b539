"""The model registry: MLflow, on SQLite or behind a tracking server. The same code on both.

One experiment and one registered model a project. Aliases: `champion` is served, `challenger` was trained last and
waits for the comparison. The tag `succeeds` of the champion names the version that was served before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from headrace.errors import ModelError
from headrace.models.artifact import Artifact, load, verify
from headrace.models.mlmodel import describe
from headrace.models.recorded import Run
from headrace.models.tracking import Tracking, mlflow, pages

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
SUCCEEDS: Final = "succeeds"
JOB: Final = "job"
"""The tag of what a run of the pipeline registered: its id there."""

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
        self._tracking = Tracking(tracking_uri)
        file = self._tracking.file
        near = file.parent if file else Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}"
        self._cache = cache or near / "cache"

    # Writing

    def record(
        self,
        parameters: Mapping[str, int | float | str | bool],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
        status: str = "FINISHED",
    ) -> str:
        """Records a training run, with files such as its report; its id. status: as MLflow names it.

        What the tag `data` names is its data set, for MLflow's own pages.
        """
        entities, client = mlflow("mlflow.entities"), self._tracking.writer()
        run_id: str = client.create_run(self._experiment(client), tags=dict(tags)).info.run_id
        client.log_batch(
            run_id,
            params=[entities.Param(name, str(value)) for name, value in parameters.items()],
            metrics=[entities.Metric(name, metric, 0, 0) for name, metric in metrics.items()],
        )
        if "data" in tags:
            digest = hashlib.sha256(tags["data"].encode()).hexdigest()[:16]
            source = {"archive": tags.get("archive", ""), "versions": json.loads(tags["data"])}
            drawn = entities.Dataset(self.project, digest, "delta", json.dumps(source))
            client.log_inputs(run_id, [entities.DatasetInput(drawn, [])])
        self.attach(run_id, files)
        client.set_terminated(run_id, status)
        return run_id

    def record_failed(
        self, parameters: Mapping[str, int | float | str | bool], tags: Mapping[str, str], files: Sequence[Path]
    ) -> str | None:
        """Records a run that gave no model; None where no registry is there, or it does not answer."""
        try:
            found: str | None = self._ask(lambda _: self.record(parameters, {}, tags, files, "FAILED"))
        except ModelError:
            return None
        return found

    def attach(self, run_id: str, files: Sequence[Path]) -> None:
        """Keeps copies of files with a run."""
        for file in files:
            self._client.log_artifact(run_id, str(file))

    def register(self, folder: Path, run_id: str | None, tags: Mapping[str, str]) -> Version:
        """Registers the artifact in a folder as the next version, its files with a run (None: a new one).

        Raises ModelError when the artifact is not what was saved.
        """
        spec, sha256 = verify(folder)
        client = self._tracking.writer()
        run = run_id or self.record({}, {}, tags)
        client.log_artifacts(run, str(folder), _FOLDER)
        with tempfile.TemporaryDirectory() as work:
            describe(spec, Path(work))
            client.log_artifacts(run, work, _FOLDER)
        if not client.search_registered_models(f"name = '{self.project}'"):
            client.create_registered_model(self.project)
        source = f"{client.get_run(run).info.artifact_uri}/{_FOLDER}"
        made = client.create_model_version(
            self.project, source, run, tags={**tags, "sha256": sha256}, await_creation_for=0
        )
        return self.version(int(made.version))

    def nominate(self, version: Version) -> str:
        """Makes a version the challenger, or the champion where there is none; which."""
        champion = self.champion()
        if champion is None:
            self.promote(version)
        if champion in (None, version):
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
                self._tracking.writer().set_model_version_tag(
                    self.project, str(version.number), SUCCEEDS, str(old.number)
                )
            self._set(CHAMPION, version)
        if self._by_alias(CHALLENGER) == version:
            self._client.delete_registered_model_alias(self.project, CHALLENGER)

    def _set(self, alias: str, version: Version) -> None:
        self._tracking.writer().set_registered_model_alias(self.project, alias, str(version.number))

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

    def versions(self) -> list[Version]:
        """All that were registered, the first one first."""
        found = self._ask(lambda client: pages(client.search_model_versions, f"name = '{self.project}'"))
        return sorted((_version(one) for one in found or ()), key=lambda version: version.number)

    def of_job(self, job: str | None) -> Version | None:
        """What a run of the pipeline has registered, by its id there."""
        return next((version for version in self.versions() if job and version.tags.get(JOB) == job), None)

    def run(self, run_id: str) -> Run | None:
        """A run by its id."""
        found = self._ask(lambda client: client.get_run(run_id))
        return None if found is None else Run.of(found)

    def runs(self) -> list[Run]:
        """All that were recorded, the newest first."""

        def ask(client: Any) -> list[Any]:
            experiment = client.get_experiment_by_name(self.project)
            where = None if experiment is None else [experiment.experiment_id]
            return [] if where is None else pages(lambda **page: client.search_runs(where, **page))

        return [Run.of(found) for found in self._ask(ask) or ()]

    def files(self, run_id: str) -> list[str]:
        """The names of the files and folders that are kept with a run."""
        found = self._ask(lambda client: client.list_artifacts(run_id))
        return sorted(file.path for file in found or ())

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
            exceptions = mlflow("mlflow.exceptions")
            try:
                found = mlflow("mlflow.artifacts").download_artifacts(
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
        found = self._ask(ask)
        return None if found is None else _version(found)

    def _ask(self, ask: Callable[[Any], Any]) -> Any:
        """An answer; None where there is no such thing. ModelError where there is no answer."""
        if not self._tracking.exists:
            return None
        exceptions = mlflow("mlflow.exceptions")
        try:
            return ask(self._client)
        except exceptions.MlflowException as error:
            # An alias that is not set is an invalid parameter, a model or version that is not there does not exist.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise ModelError(
                f"registry {self.tracking_uri}",
                f"it does not answer: {error.message}",
                "start it, or correct its URL",
            ) from error

    # MLflow

    @property
    def _client(self) -> Any:
        return self._tracking.client

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.project)
        if found is not None:
            return str(found.experiment_id)
        file = self._tracking.file
        place = None if file is None else (file.parent / "artifacts" / self.project).resolve().as_uri()
        return str(client.create_experiment(self.project, artifact_location=place))


def _version(found: Any) -> Version:
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
