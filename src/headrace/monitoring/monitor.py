"""The monitor: at an instant, what every declared rule says of the serving model.

What it says of an instant depends on nothing later, as long as that is a watermark: a mark that the archive has
passed, or, live, `monitoring.watermark`. Each label is read once, so one that falls due must be final. Live, which
instants it is asked at depends on the wall, and so does when an alert begins.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.declare.rules import Rule
from headrace.models.artifact import Spec
from headrace.models.comparison import score
from headrace.monitoring.drift import drift
from headrace.monitoring.judged import Events, judge_due, within
from headrace.monitoring.predictions import Predictions
from headrace.monitoring.verdict import Verdict, judge


class Monitor:
    """Evaluates the declared rules.

    events: reads archived records of the label's stream. spec: what is known of a model version.
    """

    def __init__(
        self, declaration: Declaration, predictions: Predictions, events: Events, spec: Callable[[str], Spec]
    ) -> None:
        self._declaration = declaration
        self._predictions = predictions
        self._events = events
        self._spec = spec
        self._judged: pa.Table | None = None
        self._judged_until: int | None = None
        self._longest = max((rule.over for rule in declaration.monitors.values()), default=0)

    def evaluate(self, now: int, champion: str) -> list[Verdict]:
        """The verdict of each rule at `now` on the champion's predictions.

        now: ms, a watermark: all that arrived before it is in the archive, and the predictions made by it are read.
        """
        self._judge(now)
        spec = self._spec(champion)
        verdicts = [
            self._drift(rule, now, champion, spec)
            if metric == "psi"
            else self._error(metric, rule, now, champion, spec)
            for metric, rule in self._declaration.monitors.items()
        ]
        keep = self._longest + self._declaration.maturity
        self._predictions.forget(now - keep)
        return verdicts

    def references(self, champion: str) -> dict[str, float]:
        """What the champion's holdout said of each monitored metric, where it said something."""
        known = self._spec(champion).metrics or {}
        found = {metric: known.get(metric) for metric in self._declaration.monitors}
        return {metric: value for metric, value in found.items() if value is not None}

    def drifts(self, now: int, champion: str) -> dict[str, float]:
        """The PSI of each watched feature and of the prediction, over the span of the rule; none without one."""
        rule = self._declaration.monitors.get("psi")
        if rule is None:
            return {}
        made = self._made(rule, now, champion)
        return drift(self._declaration, self._spec(champion), made) if made.num_rows else {}

    @property
    def judged(self) -> pa.Table:
        """The judged predictions that are still of interest."""
        if self._judged is None:
            raise LookupError("nothing was evaluated yet")
        return self._judged

    def _judge(self, now: int) -> None:
        """Adds what fell due since the last evaluation."""
        made = self._predictions.made
        maturity = self._declaration.maturity
        if self._judged_until is not None:
            made = made.filter(pc.field("_t") > self._judged_until - maturity)
        due = judge_due(self._declaration, made, self._events, now)
        self._judged = due if self._judged is None else pa.concat_tables([self._judged, due])
        self._judged = within(self._judged, now - self._longest - 1, now, maturity)
        self._judged_until = now

    def _drift(self, rule: Rule, now: int, champion: str, spec: Spec) -> Verdict:
        made = self._made(rule, now, champion)
        found = drift(self._declaration, spec, made) if made.num_rows else {}
        worst = max(found, key=lambda name: (found[name], name), default="prediction")
        return judge("psi", rule, found.get(worst), made.num_rows, None, worst)

    def _made(self, rule: Rule, now: int, champion: str) -> pa.Table:
        """What the champion predicted within a rule's span."""
        return within(self._predictions.made, now - rule.over, now).filter(pc.field("_model") == champion)

    def _error(self, metric: str, rule: Rule, now: int, champion: str, spec: Spec) -> Verdict:
        rows = within(self.judged, now - rule.over, now, self._declaration.maturity)
        rows = rows.filter(pc.field("_model") == champion)
        found = score(spec, self._declaration.model.cost, rows, rows.column("_prediction").to_numpy())
        reference = (spec.metrics or {}).get(metric)
        return judge(metric, rule, found.get(metric), rows.num_rows, reference, f"model {champion}")
