"""A model on disk: the native model file, `spec.json`, and the sha256 of both."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.declare.cost import Cost
from headrace.errors import ModelError
from headrace.models.baseline import Baseline
from headrace.models.encoding import Encoding, Matrix, Scalar
from headrace.models.explanation import Explanation, explanations
from headrace.models.formats import Known, Predictor, format_named, format_of
from headrace.models.kernel_shap import KernelShap, background
from headrace.models.metrics import Task
from headrace.models.threshold import Threshold

SPEC: Final = "spec.json"
SEAL: Final = "sha256"
BACKGROUND: Final = "background.npy"
"""A sample of the training matrix, where the model's format needs one to explain."""


@dataclass(frozen=True)
class Span:
    """The first and the last t of some examples (ms), and how many they are."""

    first: int
    last: int
    examples: int


@dataclass(frozen=True)
class Spec:
    """All that is known of a model. No clock and no path is in it: the same training gives the same sha256.

    declaration: the digest of the project file. metrics: on the holdout, by name. prediction: the baseline of the
    predictions on the holdout. embargo: ms from the last training example to the first that may judge it.
    data: the version of each of the archive's topics. cost: as declared; with one, a part of the holdout chose the
    threshold, and the metrics are on the rest.
    """

    project: str
    declaration: str
    task: Task
    label: str
    encoding: Encoding
    parameters: Mapping[str, int | float | str | bool]
    seed: int
    library: str
    trained: Span
    holdout: Span
    embargo: int
    data: Mapping[str, int]
    baselines: Mapping[str, Baseline]
    prediction: Baseline | None = None
    metrics: Mapping[str, float | None] | None = None
    cost: Cost | None = None
    threshold: Threshold | None = None

    @property
    def unseen_from(self) -> int:
        """The first t (ms) of which the model has learned nothing, not even through a label that was still open."""
        learned = self.trained.last + self.embargo
        return learned if self.threshold is None else max(learned, self.threshold.last + 1)

    def decide(self, probability: Any) -> npt.NDArray[np.bool_]:
        """What a classification decides: by its threshold, from 0.5 on where it has none."""
        return np.asarray(probability) >= (0.5 if self.threshold is None else self.threshold.value)

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "features": self.encoding.to_json(),
            "trained": vars(self.trained),
            "holdout": vars(self.holdout),
            "baselines": {name: baseline.to_json() for name, baseline in self.baselines.items()},
            "prediction": None if self.prediction is None else self.prediction.to_json(),
            "cost": None if self.cost is None else vars(self.cost),
            "threshold": None if self.threshold is None else vars(self.threshold),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        return cls(
            **{name: data[name] for name in _PLAIN},
            encoding=Encoding.from_json(data["features"]),
            trained=Span(**data["trained"]),
            holdout=Span(**data["holdout"]),
            baselines={name: Baseline.from_json(found) for name, found in data["baselines"].items()},
            prediction=None if data["prediction"] is None else Baseline.from_json(data["prediction"]),
            cost=None if data.get("cost") is None else Cost(**data["cost"]),
            threshold=None if data.get("threshold") is None else Threshold(**data["threshold"]),
        )


_PLAIN: Final = (
    "project",
    "declaration",
    "task",
    "label",
    "parameters",
    "seed",
    "library",
    "embargo",
    "data",
    "metrics",
)


@dataclass(frozen=True, eq=False)
class Artifact:
    """A loaded model. Predictions of a classification are the probability of the positive class."""

    folder: Path
    spec: Spec
    sha256: str
    predictor: Predictor

    def predict(self, rows: Sequence[Mapping[str, Scalar]]) -> npt.NDArray[np.float64]:
        """Predictions for features by name, one mapping a row; shape (rows,)."""
        return self._predict(self.spec.encoding.matrix(rows))

    def predict_table(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Predictions for the feature columns of a table; shape (rows,)."""
        return self._predict(self.spec.encoding.table_matrix(table))

    def explain(self, rows: Sequence[Mapping[str, Scalar]]) -> list[Explanation]:
        """What each feature gave to the prediction of each row (models/explanation.py).

        Raises ModelError where the model's objective has no explanation, MissingExtra where shap is needed.
        """
        if not rows:
            return []
        return explanations(self.spec.encoding.names, self.predictor.contributions(self.spec.encoding.matrix(rows)))

    def _predict(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if not len(matrix):
            return np.empty(0)
        predicted = np.asarray(self.predictor.predict(matrix), dtype=np.float64)
        if predicted.shape != (len(matrix),):
            raise ModelError(
                f"model of {self.spec.project}",
                f"it gives {predicted.shape[1:]} numbers an example, not one",
                "train a regression or a binary classification",
            )
        return predicted


def save(folder: Path, model: Any, spec: Spec, examples: Matrix | None = None) -> str:
    """Writes a fitted model and its spec; their sha256.

    examples: the matrix that it was trained on. Of it a sample is kept where the model's format cannot explain
    without one. Raises ModelError for a model of a library that has no format in `headrace.models.formats`.
    """
    name = format_of(model)
    if not spec.library.startswith(name):
        raise ModelError(f"model of {spec.project}", f"its spec says {spec.library!r}", f"write {name!r}")
    form = format_named(name)
    folder.mkdir(parents=True, exist_ok=True)
    form.open().write(model, folder / form.file, spec.encoding)
    (folder / BACKGROUND).unlink(missing_ok=True)
    if examples is not None and not form.explains:
        np.save(folder / BACKGROUND, background(examples, spec.seed), allow_pickle=False)
    return _seal(folder, spec)


def restate(source: Path, folder: Path, **changes: Any) -> str:
    """Copies an artifact with a changed spec, such as its metrics on the holdout; the sha256 of the copy."""
    spec, _ = verify(source)
    file = _format(spec).file
    folder.mkdir(parents=True, exist_ok=True)
    for name in _contents(source, file):
        shutil.copyfile(source / name, folder / name)
    return _seal(folder, replace(spec, **changes))


def load(folder: Path, sha256: str | None = None) -> Artifact:
    """Reads an artifact after `verify`."""
    spec, digest = verify(folder, sha256)
    form = _format(spec)
    model = form.open().read(folder / form.file, spec.encoding)
    if not form.explains:
        model = KernelShap(model, _background(folder), spec.seed)
    return Artifact(folder, spec, digest, model)


def verify(folder: Path, sha256: str | None = None) -> tuple[Spec, str]:
    """The spec and the sha256 of an artifact, without reading the model itself.

    Raises ModelError when a file is missing or is not what was saved (with `sha256`: what was registered).
    """
    subject = f"model {folder}"
    try:
        stated = (folder / SEAL).read_text().strip()
        text = (folder / SPEC).read_bytes()
        spec = Spec.from_json(json.loads(text))
    except FileNotFoundError as error:
        raise ModelError(subject, f"there is no {Path(error.filename).name}", "name a model's folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(subject, f"{SPEC} cannot be read: {error}", "restore it from the registry") from error
    found = _digest(folder, _format(spec).file)
    if found != stated or (sha256 is not None and found != sha256):
        raise ModelError(
            subject,
            f"its sha256 is {found[:12]}, not {(sha256 or stated)[:12]}: it was changed after it was saved",
            "restore it from the registry, or train it again",
        )
    return spec, found


def _format(spec: Spec) -> Known:
    return format_named(spec.library.partition(" ")[0])


def _seal(folder: Path, spec: Spec) -> str:
    text = json.dumps(spec.to_json(), indent=1, sort_keys=True, allow_nan=False)
    (folder / SPEC).write_text(text + "\n", encoding="utf-8")
    digest = _digest(folder, _format(spec).file)
    (folder / SEAL).write_text(digest + "\n")
    return digest


def _background(folder: Path) -> Matrix | None:
    if not (folder / BACKGROUND).exists():
        return None
    try:
        return np.asarray(np.load(folder / BACKGROUND, allow_pickle=False), np.float64)
    except ValueError as error:
        raise ModelError(f"model {folder}", f"{BACKGROUND} cannot be read: {error}", "train it again") from error


def _contents(folder: Path, file: str) -> list[str]:
    """The model file, and the sample that lies beside it."""
    return [file, BACKGROUND] if (folder / BACKGROUND).exists() else [file]


def _digest(folder: Path, file: str) -> str:
    """sha256 over the lines `<sha256>  <name>` of the model's files and the spec, as sha256sum prints them."""
    whole = hashlib.sha256()
    for name in (*_contents(folder, file), SPEC):
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError as error:
            raise ModelError(f"model {folder}", f"there is no {name}", "restore it from the registry") from error
        whole.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()
