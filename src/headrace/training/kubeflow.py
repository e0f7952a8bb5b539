"""Runs the training pipeline on a Kubeflow Pipelines server, through its client, and follows the run."""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from headrace.declare.declaration import Declaration
from headrace.errors import MissingExtra, TrainingError
from headrace.models.registry import CHALLENGER, CHAMPION, Registry, Version
from headrace.training import steps
from headrace.training.deployment import Deployment
from headrace.training.package import title, write_package
from headrace.training.parameters import Parameter, parameters_of
from headrace.training.record import STEPS, Status, StepRecord
from headrace.training.runner import Journal, Places, TrainingResult, settings_of

EVERY: Final = 5.0
"""Seconds between two questions."""
PATIENCE: Final = 300.0
"""Seconds for which a server that followed a run may be silent."""
_STATES: Final[Mapping[str, Status]] = {
    "PENDING": "not run",
    "RUNNING": "running",
    "PAUSED": "running",
    "CANCELING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "failed",
}
_OVER: Final = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


@dataclass(frozen=True)
class KubeflowResult(TrainingResult):
    """The dataset stayed on the cluster: what was held out is drawn again, from the same versions."""

    draw: Callable[[Path], object]

    def held_out(self) -> pa.Table:
        if not list(self.folder.glob(f"**/{steps.HOLDOUT}")):
            self.draw(self.folder / "dataset")
        return super().held_out()


class Kubeflow:
    """A runner: see `headrace.training.runner.Runner`. host: the server's address. settings: see docs/runs.md."""

    def __init__(
        self, host: str, deployment: Deployment, settings: Mapping[str, str], every: float = EVERY
    ) -> None:
        self._host = host
        self._deployment = deployment
        self._settings = settings
        self._every = every

    def __call__(
        self,
        declaration: Declaration,
        places: Places,
        until: int,
        parameters: Mapping[str, Parameter],
        progress: Callable[[str], None],
    ) -> TrainingResult:
        archive, registry = places.open_archive(declaration), places.open_registry(declaration)
        for name, uri in (("archive", archive.uri), ("registry", registry.tracking_uri)):
            if "://" not in uri or uri.startswith("sqlite:"):
                raise TrainingError(
                    f"{name} {uri}",
                    "it lies on this machine, where the pods of a Kubeflow cannot reach it",
                    f"set {name} in the profile to an address that they can reach",
                )
        chosen = parameters_of(declaration.model, parameters)
        settings = settings_of(declaration, archive, registry, until) | {"project": self._deployment.project}
        journal = Journal.begin(declaration, places, registry, "kubeflow", chosen, settings)
        try:
            version = self._run(declaration, journal, registry, {**settings, **chosen}, progress)
        except TrainingError:
            journal.fail(declaration, registry)
            raise
        spec = registry.load(version).spec
        run = registry.run(version.run_id)
        metrics = {} if run is None else run.metrics
        alias = CHAMPION if registry.champion() == version else CHALLENGER
        journal.succeed(registry, version.number, alias, version.run_id, spec.metrics or {})

        def draw(folder: Path) -> object:
            return steps.preprocess(
                str(declaration.path), archive.uri, until, declaration.retrain.holdout, str(folder), spec.data
            )

        return KubeflowResult(version.number, alias, version.sha256, _report(metrics), journal.folder, draw)

    def _run(
        self,
        declaration: Declaration,
        journal: Journal,
        registry: Registry,
        arguments: Mapping[str, Any],
        progress: Callable[[str], None],
    ) -> Version:
        """What the run registered."""
        # The client prints links.
        with self._asking("it refused the run"), redirect_stdout(io.StringIO()):
            client = self._client()
            job = self._submit(client, declaration, arguments)
        progress(f"run {job} on {self._host}")
        self._follow(client, job, journal, progress)
        version = registry.of_job(job)
        if version is None:
            raise TrainingError(f"run {job}", "it succeeded and registered no model", "see the log of its register")
        return version

    def _client(self) -> Any:
        try:
            import kfp
        except ImportError as error:
            raise MissingExtra("training pipeline", "kfp", "train") from error
        with warnings.catch_warnings(action="ignore"):
            return kfp.Client(
                host=self._host,
                namespace=self._settings.get("namespace", "kubeflow"),
                existing_token=self._settings.get("token") or os.environ.get("HEADRACE_KUBEFLOW_TOKEN"),
                ssl_ca_cert=self._settings.get("ca"),
            )

    def _submit(self, client: Any, declaration: Declaration, arguments: Mapping[str, Any]) -> str:
        """Begins a run; its id."""
        with tempfile.TemporaryDirectory() as work:
            package = Path(work) / "pipeline.yaml"
            write_package(declaration, self._deployment, package)
            begun = client.create_run_from_pipeline_package(
                str(package),
                arguments=dict(arguments),
                run_name=f"{title(declaration)} until {arguments['until']}",
                experiment_name=self._settings.get("experiment", declaration.name),
                namespace=self._settings.get("namespace"),
                pipeline_root=self._settings.get("pipeline_root"),
                service_account=self._settings.get("service_account"),
            )
        return str(begun.run_id)

    def _follow(self, client: Any, job: str, journal: Journal, progress: Callable[[str], None]) -> None:
        """Until the run is over; TrainingError where it did not succeed."""
        silent = time.monotonic()
        while True:
            try:
                with self._asking("it does not answer"):
                    run = client.get_run(job)
            except TrainingError:
                if time.monotonic() - silent > PATIENCE:
                    raise
                time.sleep(self._every)
                continue
            silent = time.monotonic()
            for step in _steps(run):
                old = journal.record.step(step.name)
                if step != old:
                    journal.step(step)
                if step.status != old.status:
                    progress(_line(step))
            if run.state in _OVER:
                break
            time.sleep(self._every)
        if run.state != "SUCCEEDED":
            failed = [step for step in journal.record.steps if step.status == "failed"]
            subject = f"step {failed[0].name}" if failed else f"run {job}"
            cause = failed[0].error if failed and failed[0].error else _message(run) or f"it ended {run.state}"
            raise TrainingError(subject, cause, f"see {self._host}/#/runs/details/{job}")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        import kfp_server_api
        import urllib3

        try:
            yield
        except kfp_server_api.ApiException as error:
            raise TrainingError(
                f"Kubeflow {self._host}", f"{what}: {_told(error)}", "see the server's log"
            ) from error
        except (urllib3.exceptions.HTTPError, TimeoutError) as error:
            raise TrainingError(
                f"Kubeflow {self._host}", f"{what}: {error}", "start it, or correct pipelines in the profile"
            ) from error


def _steps(run: Any) -> Iterator[StepRecord]:
    """The record of each of the four, as far as the server knows it. It does not tell what a step used.

    Beside the steps it lists their drivers, and under them the tries of each.
    """
    details = [] if run.run_details is None else run.run_details.task_details or []
    known = {task.display_name: task for task in details if task.display_name in STEPS}
    for name, task in known.items():
        yield StepRecord(
            name,
            _STATES.get(task.state, "not run"),
            _ms(task.start_time or task.create_time),
            _ms(task.end_time),
            error=task.error.message if task.error is not None else None,
        )


def _line(step: StepRecord) -> str:
    took = f" ({step.seconds:.1f} s)" if step.seconds is not None else ""
    why = f": {step.error}" if step.error else ""
    return f"{step.name} {step.status}{took}{why}"


def _ms(time: Any) -> int | None:
    """The server says 1970 where it does not know."""
    return None if time is None or time.timestamp() <= 0 else int(time.timestamp() * 1000)


def _message(run: Any) -> str | None:
    return None if run.error is None else run.error.message


def _told(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _report(metrics: Mapping[str, float]) -> dict[str, Any]:
    """The metrics of a run as `steps.evaluate` reports them."""
    found: dict[str, Any] = {"model": {}, "naive": {}, "champion": None, "comparison": None}
    for name, value in metrics.items():
        who, _, rest = name.partition("_")
        if who == "naive":
            found["naive"][rest] = value
        elif who != "champion":
            found["model"][name] = value
    return found
