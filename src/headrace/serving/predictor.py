"""From request rows to predictions: features, the model, the prediction log."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from headrace.declare.declaration import Declaration
from headrace.errors import HeadraceError, MissingExtra, ModelError, ServingError
from headrace.features.partials import Scalar
from headrace.serving.metrics import Bins, Metrics
from headrace.serving.segment import Logged

_LOG: Final = logging.getLogger("headrace.serve")

Row = Mapping[str, Scalar]
Request = tuple[Sequence[Row], str | None]
"""The rows of one request, and its name."""


class Served(Protocol):
    """One row's features. t: ms. inputs: what they were made of. unknown: its history is empty."""

    @property
    def t(self) -> int: ...
    @property
    def values(self) -> Mapping[str, Scalar]: ...
    @property
    def unknown(self) -> bool: ...


class Vectors(Protocol):
    """Where features come from (features/vector.py)."""

    def serve(self, requests: Sequence[Row]) -> Sequence[Served]: ...


class Threshold(Protocol):
    """What is at least `value` is decided yes (models/threshold.py)."""

    @property
    def value(self) -> float: ...


class Spec(Protocol):
    """What is known of a model. baselines: by feature; prediction: of the predictions; threshold: if it decides."""

    @property
    def task(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, float | None] | None: ...
    @property
    def baselines(self) -> Mapping[str, Bins]: ...
    @property
    def prediction(self) -> Bins | None: ...
    @property
    def threshold(self) -> Threshold | None: ...


class Explanation(Protocol):
    """Why a prediction is what it is (models/explanation.py): base plus the values is the prediction."""

    @property
    def base(self) -> float: ...
    @property
    def values(self) -> Mapping[str, float]: ...


class Model(Protocol):
    """A model (models/artifact.py)."""

    @property
    def sha256(self) -> str: ...
    @property
    def spec(self) -> Spec: ...
    def predict(self, rows: Sequence[Row]) -> np.ndarray: ...
    def explain(self, rows: Sequence[Row]) -> Sequence[Explanation]: ...


class PredictionLog(Protocol):
    """Has the rows for good when it returns (segment.py)."""

    def append(self, rows: Sequence[Logged]) -> None: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready, and its version in the registry."""

    version: str
    model: Model


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer. t: ms; unknown: predicted from an empty history; model: the version; decision: by threshold."""

    id: str
    prediction: float
    model: str
    t: int
    unknown: bool
    decision: bool | None = None


def random_ids(name: str | None, count: int) -> list[str]:
    """Live: no two predictions share an id."""
    return [uuid.uuid4().hex for _ in range(count)]


def named_ids(name: str | None, count: int) -> list[str]:
    """Under replay: a request that is named gives its predictions the same ids whenever it is asked."""
    if name is None:
        return random_ids(name, count)
    return [uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{place}").hex for place in range(count)]


class Predictor:
    """Predicts with one model at a time; `swap` exchanges it between two requests.

    now: the server's clock, ms. ids: of a request's predictions, from its name and their number: `random_ids` when
    live, `named_ids` under replay. Thread-safe.
    """

    def __init__(
        self,
        declaration: Declaration,
        vectors: Vectors,
        log: PredictionLog,
        now: Callable[[], int],
        metrics: Metrics | None = None,
        ids: Callable[[str | None, int], list[str]] = random_ids,
    ) -> None:
        self._features = [feature.name for feature in declaration.features]
        self._columns = [f"feature__{name}" for name in self._features]
        self._vectors = vectors
        self._log = log
        self._now = now
        self._ids = ids
        self._loaded: Loaded | None = None
        self.metrics = Metrics() if metrics is None else metrics

    @property
    def loaded(self) -> Loaded | None:
        return self._loaded

    def swap(self, loaded: Loaded) -> None:
        """From the next request on, this model. One assignment, so a request has one model throughout."""
        spec = loaded.model.spec
        self.metrics.model(loaded.version, loaded.model.sha256, spec.baselines, spec.prediction)
        self._loaded = loaded

    def predict(self, rows: Sequence[Row], name: str | None = None) -> list[Prediction]:
        """One prediction a row, each in the prediction log. ServingError where no model is loaded.

        name: of the request, where the caller gives it one.
        """
        loaded = self._model()
        [answers] = self._answer(loaded, self._vectors.serve(rows), [(rows, name)])
        return answers

    def explain(self, rows: Sequence[Row], name: str | None = None) -> tuple[list[Prediction], list[Explanation]]:
        """The same, and why each prediction is what it is."""
        loaded = self._model()
        served = self._vectors.serve(rows)
        why = list(loaded.model.explain([one.values for one in served]))
        [answers] = self._answer(loaded, served, [(rows, name)])
        return answers, why

    def predict_each(self, requests: Sequence[Request]) -> list[list[Prediction] | HeadraceError]:
        """What `predict` gives or raises for each of some requests, by one read, one predict and one append.

        Together where that changes nothing: where all is well, and the clock alone made t. An event that is ahead
        of the clock moves the t of its own request only, and an error is told to its own request only.
        """
        if len(requests) > 1:
            try:
                loaded = self._model()
                served = self._vectors.serve([row for rows, _ in requests for row in rows])
                if served[0].t <= self._now():
                    return list(self._answer(loaded, served, requests))
            except HeadraceError:
                pass
        return [self._alone(rows, name) for rows, name in requests]

    def _alone(self, rows: Sequence[Row], name: str | None) -> list[Prediction] | HeadraceError:
        try:
            return self.predict(rows, name)
        except HeadraceError as error:
            return error

    def _model(self) -> Loaded:
        if self._loaded is None:
            raise ServingError("server", "no model is loaded", "train and promote one, then ask again")
        return self._loaded

    def _answer(
        self, loaded: Loaded, served: Sequence[Served], requests: Sequence[Request]
    ) -> list[list[Prediction]]:
        """Predicts and logs. served: the vectors of all rows of the requests, in order."""
        outputs = outputs_of(loaded, [one.values for one in served])
        made = self._now()
        threshold = loaded.model.spec.threshold
        answers: list[list[Prediction]] = []
        logged: list[Logged] = []
        vectors = zip(outputs, served, strict=True)
        for rows, name in requests:
            answers.append([])
            for known, row in zip(self._ids(name, len(rows)), rows, strict=True):
                output, one = next(vectors)
                decision = None if threshold is None else output >= threshold.value
                answer = Prediction(known, output, loaded.version, one.t, one.unknown, decision)
                answers[-1].append(answer)
                logged.append(self._logged(answer, made, row, one.values))
        self._log.append(logged)
        self.metrics.predicted(loaded.version, served, outputs)
        return answers

    def rehearse(self, loaded: Loaded, rows: Sequence[Row]) -> None:
        """A prediction and an explanation that nobody sees: they warm a model up, and an unfit one raises before it
        is swapped in. One that cannot be explained here is still fit to predict."""
        vectors = [one.values for one in self._vectors.serve(rows)]
        outputs_of(loaded, vectors)
        try:
            loaded.model.explain(vectors)
        except (MissingExtra, ModelError) as error:
            _LOG.warning("model %s answers without explanations: %s", loaded.version, error)

    def problem(self, rows: Sequence[Row]) -> str | None:
        """Why no request could be answered now: no model, or no features for some rows."""
        if self._loaded is None:
            return "no model is loaded: train and promote one"
        try:
            self._vectors.serve(rows)
        except HeadraceError as error:
            return str(error)
        return None

    def _logged(self, answer: Prediction, made: int, row: Row, values: Mapping[str, Scalar]) -> Logged:
        logged: dict[str, Scalar] = {
            "_id": answer.id,
            "_t": answer.t,
            "_made": made,
            "_model": answer.model,
            "_prediction": answer.prediction,
            "_unknown": answer.unknown,
            "_decision": answer.decision,
            **row,
        }
        for name, column in zip(self._features, self._columns, strict=True):
            logged[column] = values[name]
        return logged


def outputs_of(loaded: Loaded, rows: Sequence[Row]) -> list[float]:
    """A model's outputs for rows of feature values. ModelError where they are not finite numbers, one a row."""
    outputs = np.asarray(loaded.model.predict(rows), np.float64)
    if outputs.shape != (len(rows),) or not np.isfinite(outputs).all():
        raise ModelError(
            f"model {loaded.version}",
            f"it gives {outputs.tolist()!r:.100} for {len(rows)} rows",
            "promote another version",
        )
    found: list[float] = outputs.tolist()
    return found
