"""Logged predictions, found by their ids: on the server's own disk, in the topic, in the archive.

A prediction is on disk until it is in the topic, and in the topic until the archive has it; so the archive's place
in the topic is noted first, and nothing slips through between two looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from headrace.declare.declaration import Declaration
from headrace.declare.predictions import prediction_columns
from headrace.declare.topics import Topics
from headrace.errors import ModelError
from headrace.log.batches import Mark
from headrace.log.contract import Log
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas
from headrace.serving.predictor import Explanation, Loaded, Model, Prediction
from headrace.serving.segment import Logged, read_frames, segments

_MODELS: Final = 4
_RECORDS: Final = 50_000


class Archive(Protocol):
    """Where predictions are kept (archive/delta.py)."""

    def stored(self, topic: str) -> Mapping[tuple[str, int], int]: ...
    def dataset(self, topic: str, version: int | None = None) -> ds.Dataset: ...


class Models(Protocol):
    def load(self, version: str) -> Model:
        """ModelError where it is not in the registry."""
        ...


@dataclass(frozen=True, slots=True)
class Explained:
    """A prediction as it was answered, and why."""

    prediction: Prediction
    explanation: Explanation


def on_disk(folder: Path) -> Callable[[str], Logged | None]:
    """Looks through the server's segments, the newest first."""

    def find(known: str) -> Logged | None:
        needle = f'"{known}"'.encode()
        for segment in reversed(segments(folder)):
            try:
                if needle not in segment.read_bytes():
                    continue
                begin = 0
                while (frames := read_frames(segment, begin)).rows:
                    found = next((row for row in frames.rows if row["_id"] == known), None)
                    if found is not None:
                        return found
                    begin = frames.end
            except FileNotFoundError:  # shipped and deleted meanwhile: it is in the topic
                continue
        return None

    return find


def in_topic_or_archive(
    declaration: Declaration, log: Log, schemas: Schemas, archive: Archive
) -> Callable[[str], Logged | None]:
    """Looks through what the archive does not have yet, then through the archive."""
    topic, columns = Topics.of(declaration).predictions, prediction_columns(declaration)
    schema = nullable_schema(topic, columns)

    def tail(known: str, since: Mapping[tuple[str, int], int]) -> Logged | None:
        if topic not in {known.name for known in log.topics()}:  # nothing was shipped yet
            return None
        for partition in range(log.topic(topic).partitions):
            offset = since.get((topic, partition), 0)
            while batches := log.read(topic, partition, offset, _RECORDS):
                contents = [batch for batch in batches if not isinstance(batch.content, Mark)]
                if contents and (found := _row(decode(contents, schemas, schema, columns).table, known)):
                    return found
                offset = batches[-1].end
        return None

    def find(known: str) -> Logged | None:
        since = archive.stored(topic)
        found = tail(known, since)
        if found is None and since:
            found = _row(archive.dataset(topic).to_table(filter=ds.field("_id") == known), known)
        return found

    return find


def _row(table: pa.Table, known: str) -> Logged | None:
    rows = table.filter(ds.field("_id") == known).slice(0, 1).to_pylist()
    return rows[0] if rows else None


class Past:
    """Explains logged predictions by the model version that made them, of which it keeps a few."""

    def __init__(
        self, declaration: Declaration, places: Sequence[Callable[[str], Logged | None]], models: Models
    ) -> None:
        self._features = [feature.name for feature in declaration.features]
        self._places = places
        self._model = lru_cache(_MODELS)(models.load)

    def explain(self, known: str, loaded: Loaded | None) -> Explained | None:
        """The prediction of an id, and why; None where there is none. loaded: the model that answers now."""
        row = next((found for place in self._places if (found := place(known)) is not None), None)
        if row is None:
            return None
        made: Any = row
        version = str(made["_model"])
        model = loaded.model if loaded is not None and loaded.version == version else self._model(version)
        vector = {name: made[f"feature__{name}"] for name in self._features if f"feature__{name}" in made}
        if missing := set(self._features) - set(vector):
            raise ModelError(
                f"prediction {known}", f"it was made without {', '.join(sorted(missing))}", "explain a later one"
            )
        [why] = model.explain([vector])
        prediction = Prediction(known, made["_prediction"], version, made["_t"], bool(made["_unknown"]))
        return Explained(prediction, why)
