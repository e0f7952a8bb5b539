"""Rebuilds a run from what was recorded of it, and says whether the model is the same to the bit."""

from __future__ import annotations

import io
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.errors import ModelError, SourceError
from headrace.models.artifact import Spec, verify
from headrace.models.recorded import Run
from headrace.models.registry import Registry, Version
from headrace.training import steps
from headrace.training.runner import Archive

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Rebuilt:
    """sha256: of the model that was rebuilt, None where it could not be. differences: what is not as it was."""

    version: int
    expected: str
    sha256: str | None
    differences: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        return self.sha256 == self.expected

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "identical": self.identical, "differences": list(self.differences)}


def reproduce(
    declaration: Declaration, registry: Registry, archive: Archive, subject: str, progress: Progress
) -> Rebuilt:
    """Draws, trains and evaluates again what a run (its id, or the version that it registered) recorded.

    The project file is that of the run: the present one, or the one of the recorded commit, read from git.
    """
    version = _version(registry, subject)
    run = registry.run(version.run_id)
    if run is None or "until" not in run.tags or "holdout" not in run.tags:
        raise ModelError(
            f"model {version.number}",
            "its run does not say up to when and how its data were drawn",
            "train it with this version of Headrace, which records it",
        )
    spec = registry.load(version).spec
    with _file_of(declaration, run) as project, tempfile.TemporaryDirectory() as work:
        if project is None:
            return Rebuilt(version.number, version.sha256, None, (_changed(declaration, run),))
        try:
            sealed = _rebuild(project, archive, run, spec, Path(work), progress)
        except SourceError as error:
            return Rebuilt(version.number, version.sha256, None, (f"data: {error.subject}: {error.cause}",))
        found, sha256 = verify(sealed)
        differences = () if sha256 == version.sha256 else tuple(_differences(spec, found, run))
    return Rebuilt(version.number, version.sha256, sha256, differences)


def _version(registry: Registry, subject: str) -> Version:
    if subject.isdecimal():
        return registry.version(int(subject))
    made = [version for version in registry.versions() if version.run_id == subject]
    if not made:
        raise ModelError(
            f"run {subject!r}", "no model of this project was registered by it", "name one as in `headrace runs`"
        )
    return made[-1]


def _rebuild(project: Path, archive: Archive, run: Run, spec: Spec, work: Path, progress: Progress) -> Path:
    dataset, draft, sealed = (str(work / name) for name in ("dataset", "draft", "sealed"))
    until, holdout = int(run.tags["until"]), int(run.tags["holdout"])
    facts = steps.preprocess(str(project), archive.uri, until, holdout, dataset, spec.data)
    progress(f"preprocess: {facts['summary']}")
    progress(f"train: {steps.train(str(project), dataset, spec.parameters, draft)['summary']}")
    # No champion is in an empty registry: none had a part in the model.
    steps.evaluate(dataset, draft, f"sqlite:///{work}/none.db", sealed, str(work / "report.json"))
    return Path(sealed)


@contextmanager
def _file_of(declaration: Declaration, run: Run) -> Iterator[Path | None]:
    """The project file that the run had: the present one, or that of its commit; None where neither is."""
    wanted, commit = run.tags.get("declaration"), run.tags.get("commit", "")
    if declaration.digest == wanted:
        yield declaration.path
        return
    with tempfile.TemporaryDirectory() as work:
        then = _then(declaration.path, commit, Path(work)) if commit and not commit.endswith("-dirty") else None
        yield then if then is not None and read_project(then).digest == wanted else None


def _then(project: Path, commit: str, folder: Path) -> Path | None:
    """The project's folder as of a commit, extracted; its file."""
    git = shutil.which("git")
    if git is None:
        return None
    at = [git, "-C", str(project.parent)]
    found = subprocess.run([*at, "archive", "--format=tar", commit, "."], capture_output=True, check=False)
    if found.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    file = folder / project.name
    return file if file.is_file() else None


def _changed(declaration: Declaration, run: Run) -> str:
    commit = run.tags.get("commit")
    told = (
        f"declaration: {declaration.path.name} was changed since the run ({run.tags.get('declaration', '')[:12]})"
    )
    if commit is None:
        return f"{told}, which knew of no commit: restore the file as it was"
    if commit.endswith("-dirty"):
        return f"{told}, which it was in no commit: it had been changed after {commit.removesuffix('-dirty')[:12]}"
    return f"{told}, and commit {commit[:12]} does not give it: fetch that commit"


def _differences(spec: Spec, found: Spec, run: Run) -> Iterator[str]:
    if run.tags.get("python") not in (None, platform.python_version()):
        yield f"python: {run.tags['python']} then, {platform.python_version()} now"
    old, new = spec.to_json(), found.to_json()
    for name in old:
        if old[name] != new[name]:
            then, now = _first(old[name], new[name])
            yield f"{name}: {then} then, {now} now"
    if old == new:
        yield "the model's file alone, with the same data, parameters and versions"


def _first(old: Any, new: Any) -> tuple[str, str]:
    """The first place in which two values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                then, now = _first(old.get(key), new.get(key))
                return f"{key}: {then}", f"{key}: {now}"
    return tuple(json.dumps(value)[:60] for value in (old, new))  # type: ignore[return-value]


def pins(registry: Registry) -> dict[str, set[int]]:
    """The versions of the archive's topics that registered models need, to be rebuilt: a vacuum keeps them."""
    found: dict[str, set[int]] = {}
    for version in registry.versions():
        for topic, number in json.loads(version.tags.get("data", "{}")).items():
            found.setdefault(topic, set()).add(int(number))
    return found
