"""What the server counts, for Prometheus. Plain counters: they add up over servers.

Features and predictions are counted into the bins of the model's training baseline, and the baseline's shares
stand beside them, so that the PSI is a recording rule. Bins are counted here and handed over when Prometheus asks:
that costs a request less than a counter object a bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.features.partials import Scalar

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Bins(Protocol):
    """A baseline (models/baseline.py): bins, and the share of the training examples in each."""

    @property
    def shares(self) -> Sequence[float]: ...
    def bin(self, value: Scalar) -> int: ...


class Vector(Protocol):
    @property
    def values(self) -> Mapping[str, Scalar]: ...
    @property
    def unknown(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many values fell into each bin."""

    name: str
    bins: Bins
    counts: list[int]

    @classmethod
    def none(cls, name: str, bins: Bins) -> _Counts:
        return cls(name, bins, [0] * len(bins.shares))

    def add(self, values: Iterable[Scalar]) -> None:
        for value in values:
            self.counts[self.bins.bin(value)] += 1


@dataclass(slots=True)
class _Tally:
    """What one model version was asked."""

    features: list[_Counts]
    outputs: _Counts | None
    predictions: int = 0
    unknown: int = 0


class Metrics:
    """One server's metrics, in a registry of its own.

    >>> metrics = Metrics()
    >>> metrics.model("3", "ab12", {})
    >>> print([line for line in metrics.text().decode().splitlines() if line.startswith("headrace_model_info")])
    ['headrace_model_info{sha256="ab12",version="3"} 1.0']
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "headrace_requests", "Requests to /predict by HTTP status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "headrace_request_seconds", "Time from a request's head to its answer.", buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.load_failures = Counter(
            "headrace_model_load_failures", "Looks that found a champion that cannot be loaded.",
            registry=self.registry,
        )  # fmt: skip
        self.unshipped = Gauge(
            "headrace_unshipped_bytes", "Predictions on the server's disk that are not in the log yet.",
            registry=self.registry,
        )  # fmt: skip
        self._statuses: dict[int, Counter] = {}
        self._tallies = _Tallies()
        self.registry.register(self._tallies)

    def model(
        self, version: str, sha256: str, features: Mapping[str, Bins], prediction: Bins | None = None
    ) -> None:
        """Another model answers, with these baselines."""
        self._tallies.begin(version, sha256, features, prediction)

    def requested(self, status: int, seconds: float) -> None:
        """Counts a request to /predict, and the time that it took."""
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = self.requests.labels(str(status))
        counter.inc()
        self.seconds.observe(seconds)

    def predicted(self, version: str, vectors: Sequence[Vector], outputs: Sequence[float]) -> None:
        """Counts vectors as served, and what the model made of them."""
        self._tallies.add(version, vectors, outputs)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Tallies(Collector):
    def __init__(self) -> None:
        self._lock = Lock()
        self._tallies: dict[str, _Tally] = {}
        self._current: tuple[str, str] | None = None

    def begin(self, version: str, sha256: str, features: Mapping[str, Bins], prediction: Bins | None) -> None:
        with self._lock:
            self._current = version, sha256
            if version not in self._tallies:
                counts = [_Counts.none(name, bins) for name, bins in features.items()]
                outputs = None if prediction is None else _Counts.none("prediction", prediction)
                self._tallies[version] = _Tally(counts, outputs)

    def add(self, version: str, vectors: Sequence[Vector], outputs: Sequence[float]) -> None:
        with self._lock:
            tally = self._tallies[version]
            tally.predictions += len(vectors)
            tally.unknown += sum(vector.unknown for vector in vectors)
            for counts in tally.features:
                counts.add(vector.values[counts.name] for vector in vectors)
            if tally.outputs is not None:
                tally.outputs.add(outputs)

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("headrace_model_info", "The model that answers.", labels=["version", "sha256"])
        made = CounterMetricFamily("headrace_predictions", "Predictions made.", labels=["model"])
        unknown = CounterMetricFamily("headrace_unknown", "Predictions from an empty history.", labels=["model"])
        feature, prediction = ["model", "feature", "bin"], ["model", "bin"]
        features = CounterMetricFamily("headrace_feature_bin", "Features as served, by bin.", labels=feature)
        shares = GaugeMetricFamily("headrace_feature_share", "The baseline's share of a bin.", labels=feature)
        outputs = CounterMetricFamily("headrace_prediction_bin", "Predictions by bin.", labels=prediction)
        expected = GaugeMetricFamily(
            "headrace_prediction_share", "The baseline's share of a bin.", labels=prediction
        )
        with self._lock:
            if self._current is not None:
                info.add_metric(list(self._current), 1)
            for version, tally in self._tallies.items():
                made.add_metric([version], tally.predictions)
                unknown.add_metric([version], tally.unknown)
                for found in tally.features:
                    for place, count in enumerate(found.counts):
                        features.add_metric([version, found.name, str(place)], count)
                        shares.add_metric([version, found.name, str(place)], found.bins.shares[place])
                if tally.outputs is not None:
                    for place, count in enumerate(tally.outputs.counts):
                        outputs.add_metric([version, str(place)], count)
                        expected.add_metric([version, str(place)], tally.outputs.bins.shares[place])
        yield from (info, made, unknown, features, shares, outputs, expected)
