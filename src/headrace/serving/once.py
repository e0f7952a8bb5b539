"""The prediction log under replay: what is asked again within a step is not logged again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from headrace.features.partials import Scalar
from headrace.serving.predictor import PredictionLog
from headrace.serving.segment import Logged, read_frames, segments


class Once:
    """A prediction log that knows the predictions of the newest step by their ids, whichever process made them.

    folder: of the log's segments. They stay until their step is closed, and a closed step is not asked again.
    """

    def __init__(self, log: PredictionLog, folder: Path) -> None:
        self._log = log
        self._lock = Lock()
        self._made: Scalar = None
        self._ids: set[Scalar] = set()
        for segment in segments(folder):
            begin = 0
            while (frames := read_frames(segment, begin)).rows:
                self._note(frames.rows)
                begin = frames.end

    def append(self, rows: Sequence[Logged]) -> None:
        with self._lock:
            new = [row for row in rows if row["_made"] != self._made or row["_id"] not in self._ids]
            if new:
                self._log.append(new)
                self._note(new)

    def _note(self, rows: Sequence[Logged]) -> None:
        for row in rows:
            if row["_made"] != self._made:
                self._made, self._ids = row["_made"], set()
            self._ids.add(row["_id"])
