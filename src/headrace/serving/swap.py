"""Exchanges the model without a pause: a new champion is loaded and rehearsed beside the old, then swapped in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from headrace.errors import HeadraceError
from headrace.serving.predictor import Loaded, Model, Predictor, Row

_LOG: Final = logging.getLogger("headrace.serve")

V = TypeVar("V")


class Models(Protocol[V]):
    """Where models come from (models/registry.py)."""

    def champion(self) -> V | None: ...

    def load(self, version: V) -> Model:
        """ModelError where it is not what was registered."""
        ...


class Watcher:
    """Watches for another champion.

    rows: requests to rehearse a new model with. A champion that cannot be loaded is tried again at each look;
    meanwhile the old one answers.
    """

    def __init__(self, predictor: Predictor, models: Models[V], rows: Sequence[Row]) -> None:
        self._predictor = predictor
        self._models: Models[V] = models
        self._rows = rows
        self._looking = threading.Lock()
        self.problem: str | None = None
        """Why the champion is not the model that answers."""

    def look(self) -> bool:
        """Looks once; whether another model answers from now on."""
        with self._looking:
            try:
                swapped = self._look()
            except (HeadraceError, OSError, ValueError, TypeError, KeyError, ArithmeticError) as error:
                problem = f"the champion cannot be loaded: {error}"
                if problem != self.problem:
                    _LOG.error("%s", problem)
                self.problem = problem
                self._predictor.metrics.load_failures.inc()
                return False
            self.problem = None
            return swapped

    def run(self, stop: threading.Event, every: float = 1.0) -> None:
        """Looks every so many seconds until told to stop."""
        self.look()
        while not stop.wait(every):
            self.look()

    def _look(self) -> bool:
        version = self._models.champion()
        if version is None:
            return False
        now = self._predictor.loaded
        if now is not None and now.version == str(version):
            return False
        loaded = Loaded(str(version), self._models.load(version))
        self._predictor.rehearse(loaded, self._rows)
        self._predictor.swap(loaded)
        _LOG.info("model %s answers (before: %s)", loaded.version, "none" if now is None else now.version)
        return True
