"""What the monitor says, for Prometheus: gauges of its last look. They are absent where there is no data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.monitoring.verdict import Verdict


class Gauges(Collector):
    """The verdicts of the last look, and what the model's holdout said.

    >>> gauges = Gauges()
    >>> gauges.show("3", [Verdict("mae", "ok", 1.2, 1.3, 500, "model 3")], {"mae": 1.0}, {"units": 0.1}, 60_000)
    >>> found = {metric.name: metric.samples for metric in gauges.collect()}
    >>> found["headrace_metric"][0].labels, found["headrace_metric"][0].value
    ({'metric': 'mae', 'model': '3'}, 1.2)
    >>> found["headrace_watermark_seconds"][0].value
    60.0
    """

    def __init__(self) -> None:
        self._shown: list[Metric] = []

    def show(
        self,
        model: str,
        verdicts: Sequence[Verdict],
        references: dict[str, float],
        drift: dict[str, float],
        watermark: int,
    ) -> None:
        """Exchanges all gauges at once.

        references: the holdout's metrics. drift: PSI by feature. watermark: ms, the instant that was looked at.
        """
        by_metric, by_feature = ["metric", "model"], ["feature", "model"]
        values = GaugeMetricFamily("headrace_metric", "A monitored metric over its span.", labels=by_metric)
        counts = GaugeMetricFamily("headrace_metric_observations", "What it was measured on.", labels=by_metric)
        holdout = GaugeMetricFamily("headrace_metric_reference", "The model's on its holdout.", labels=by_metric)
        limits = GaugeMetricFamily("headrace_metric_limit", "Where an alert begins.", labels=by_metric)
        firing = GaugeMetricFamily("headrace_metric_alert", "1 where the rule fires.", labels=by_metric)
        psi = GaugeMetricFamily("headrace_monitor_psi", "PSI by the log of predictions.", labels=by_feature)
        seen = GaugeMetricFamily("headrace_watermark_seconds", "Up to when all is known.", value=watermark / 1000)
        for verdict in verdicts:
            labels = [verdict.metric, model]
            counts.add_metric(labels, verdict.count)
            firing.add_metric(labels, verdict.state == "alert")
            if verdict.value is not None:
                values.add_metric(labels, verdict.value)
            if verdict.limit is not None:
                limits.add_metric(labels, verdict.limit)
        for name, value in references.items():
            holdout.add_metric([name, model], value)
        for name, value in drift.items():
            psi.add_metric([name, model], value)
        self._shown = [values, counts, holdout, limits, firing, psi, seen]

    def collect(self) -> Iterator[Metric]:
        yield from self._shown
