"""Where a prediction, a run or a model comes from: prediction, model, run, versions of the data, declaration.

Every link is read where it was written: the prediction in its topic, the model and the run in the registry, what
became of the model in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.dataset as ds

from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration
from headrace.declare.predictions import prediction_columns
from headrace.declare.topics import Topics
from headrace.errors import ModelError
from headrace.log.contract import Log
from headrace.models.recorded import Run
from headrace.models.registry import Registry, Version
from headrace.retraining.ledger import Entry, Ledger
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas

_BATCH = 10_000


@dataclass(frozen=True)
class Prediction:
    """id, t and made (ms) of a prediction, and what it was made from, as served."""

    id: str
    t: int
    made: int
    model: str
    prediction: float
    request: Mapping[str, Any]
    features: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """alias: champion or challenger, None where it is neither. history: the ledger's entries that speak of it."""

    version: int
    sha256: str
    alias: str | None
    history: Sequence[Entry] = ()


@dataclass(frozen=True)
class Lineage:
    """A chain as far as the subject reaches. declaration: the digest; present: whether it is that of today's file.

    data: the version of each of the archive's topics that was read.
    """

    prediction: Prediction | None
    model: Model | None
    run: Run | None
    data: Mapping[str, int] = field(default_factory=dict)
    declaration: str = ""
    present: bool = False
    commit: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Tracer:
    """Follows a project's links back."""

    def __init__(
        self, declaration: Declaration, log: Log, schemas: Schemas, archive: Archive, registry: Registry
    ) -> None:
        self._declaration = declaration
        self._log = log
        self._schemas = schemas
        self._archive = archive
        self._registry = registry

    def trace(self, subject: str) -> Lineage:
        """The lineage of a prediction's id, a run's id, or a model's version (3, or model 3).

        ModelError where the subject is none of them.
        """
        number = subject.removeprefix("model ").removeprefix("v")
        if number.isdecimal():
            return self._of_version(self._registry.version(int(number)), None)
        run = self._registry.run(subject)
        if run is not None:
            made = [version for version in self._registry.versions() if version.run_id == run.id]
            return self._of_version(made[-1], None) if made else self._of_run(run, None, None)
        prediction = self._prediction(subject)
        if prediction is None:
            raise ModelError(
                f"subject {subject!r}",
                f"{self._declaration.name} has no prediction, no run and no model of this id",
                "name a prediction's id, a run as in `headrace runs`, or a model's version",
            )
        return self._of_version(self._registry.version(int(prediction.model)), prediction)

    def _of_version(self, version: Version, prediction: Prediction | None) -> Lineage:
        champion, challenger = self._registry.champion(), self._registry.challenger()
        alias = "champion" if version == champion else "challenger" if version == challenger else None
        model = Model(version.number, version.sha256, alias, self._history(version.number))
        run = self._registry.run(version.run_id)
        if run is None:
            return Lineage(prediction, model, None)
        return self._of_run(run, model, prediction)

    def _of_run(self, run: Run, model: Model | None, prediction: Prediction | None) -> Lineage:
        digest = run.tags.get("declaration", "")
        present = digest == self._declaration.digest
        return Lineage(prediction, model, run, run.data, digest, present, run.tags.get("commit"))

    # The ledger

    def _history(self, number: int) -> list[Entry]:
        """The verdict on a model, and the training and the alerts that led to it; when another took its place."""
        found: list[Entry] = []
        alerts: list[Entry] = []
        training: Entry | None = None
        for entry in Ledger(self._log, self._schemas, Topics.of(self._declaration).ledger).read():
            if entry.kind == "alert":
                alerts = [*(alert for alert in alerts if alert.subject != entry.subject), entry]
            elif entry.kind in ("resolved", "no data"):
                alerts = [alert for alert in alerts if alert.subject != entry.subject]
            elif entry.kind == "train":
                training = entry
            elif entry.kind in ("promote", "refuse"):
                if entry.detail.get("challenger") == number:
                    found += [*alerts, *([training] if training else []), entry]
                elif entry.kind == "promote" and entry.detail.get("champion") == number:
                    found.append(entry)
        return found

    # The prediction

    def _prediction(self, subject: str) -> Prediction | None:
        """From the archive, which keeps all but those of the last second or so; else from the log."""
        topic = Topics.of(self._declaration).predictions
        if topic in self._archive.topics():
            rows = self._archive.read(topic, where=ds.field("_id") == subject).to_pylist()
            if rows:
                return self._shown(rows[0])
        if all(known.name != topic for known in self._log.topics()):
            return None
        columns = prediction_columns(self._declaration)
        schema = nullable_schema(topic, columns)
        for partition, (begin, end) in enumerate(self._log.bounds(topic)):
            offset = begin
            while offset < end and (batches := self._log.read(topic, partition, offset, _BATCH)):
                table = decode(batches, self._schemas, schema, columns).table
                rows = table.filter(ds.field("_id") == subject).to_pylist()
                if rows:
                    return self._shown(rows[0])
                offset = batches[-1].end
        return None

    def _shown(self, row: Mapping[str, Any]) -> Prediction:
        features = {feature.name: row[f"feature__{feature.name}"] for feature in self._declaration.features}
        request = {name: row[name] for name in self._declaration.request}
        return Prediction(row["_id"], row["_t"], row["_made"], row["_model"], row["_prediction"], request, features)
