"""The monitor role: what the rules say, and what the policy makes of it, into the ledger.

Live it looks every `EVERY` seconds; under replay at every closed mark, when the archive has passed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds

from headrace.declare.topics import Topics
from headrace.log.consumer import Consumer
from headrace.models.artifact import Spec
from headrace.models.registry import Version
from headrace.monitoring.monitor import Monitor
from headrace.monitoring.predictions import Predictions
from headrace.retraining.alerts import firing, news
from headrace.retraining.ledger import Entry, Ledger
from headrace.retraining.retrainer import Intake, Retrainer
from headrace.roles.context import IDLE, Context
from headrace.training.local import run as train

EVERY: Final = 10.0
"""Seconds between two looks when live."""


def run(context: Context) -> None:
    Watch(context).run()


class Watch:
    """One monitor's process."""

    def __init__(self, context: Context) -> None:
        declaration, profile = context.declaration, context.profile
        self._context = context
        self._topics = Topics.of(declaration)
        self._archive = profile.open_archive(declaration)
        self._registry = profile.open_registry(declaration)
        self._predictions = Predictions(declaration, context.schemas)
        self._consumer = Consumer(context.log, [self._topics.predictions], self._predictions)
        self._monitor = Monitor(declaration, self._predictions, self._events, self._spec)
        self._retrainer = Retrainer(declaration.retrain, self._registry, self._train, self._intake)
        self._ledger = Ledger(context.log, context.schemas, self._topics.ledger)
        self._ledger.create()
        self._writer = context.log.writer("monitor")
        self._entries = list(self._ledger.read())
        self._specs: dict[str, Spec] = {}

    def run(self) -> None:
        for now in self._instants():
            entries = self._decide(now)
            with self._writer.transaction() as transaction:
                self._ledger.append(transaction, entries)
                transaction.commit(self._predictions.position(), self._context.clock.mark() and now)
            for entry in entries:
                self._context.say.info("%s %s: %s", entry.kind, entry.subject, entry.detail.get("reason", ""))
            self._entries += entries

    def _instants(self) -> Iterator[int]:
        """When to look: at each closed mark that all that it needs has passed; live, now and then."""
        context = self._context
        passed = context.log.committed("monitor").mark
        while not context.stop.is_set():
            read = self._consumer.step()
            if context.profile.clock == "wall":
                if not read:
                    yield context.clock.now() or 0
                    context.stop.wait(EVERY)
                continue
            closed = context.clock.closed()
            ready = self._predictions.mark() == closed and self._passed_archive(closed)
            if closed is not None and closed != passed and ready:
                yield closed
                passed = closed
            elif not read:
                context.stop.wait(IDLE)

    def _passed_archive(self, mark: int | None) -> bool:
        passed = self._context.log.committed("archive").mark
        return mark is not None and passed is not None and passed >= mark

    def _decide(self, now: int) -> list[Entry]:
        champion = self._registry.champion()
        verdicts = [] if champion is None else self._monitor.evaluate(now, str(champion.number))
        entries = news(self._entries, verdicts, now)
        on = sorted(firing([*self._entries, *entries]))
        return entries + self._retrainer.consider([*self._entries, *entries], on, now)

    def _events(self, where: ds.Expression) -> pa.Table:
        return self._archive.read(self._topics.enriched(self._context.declaration.label.stream), where=where)

    def _spec(self, version: str) -> Spec:
        if version not in self._specs:
            self._specs[version] = self._registry.load(self._registry.version(int(version))).spec
        return self._specs[version]

    def _train(self, until: int) -> tuple[Version, pa.Table]:
        result = train(self._context.declaration, self._context.profile, until, {}, self._context.say.info)
        return self._registry.version(result.version), result.held_out()

    def _intake(self) -> Intake:
        log = self._context.log
        ends = {topic.name: sum(last for _, last in log.bounds(topic.name)) for topic in log.topics()}
        enriched = dead = 0
        for title, stream in self._context.declaration.streams.items():
            good, bad = ends.get(self._topics.enriched(title), 0), ends.get(self._topics.dead(title), 0)
            marks = max(0, good + bad - ends.get(stream.topic, 0))  # a mark stands in all three topics
            enriched, dead = enriched + good - marks, dead + bad - marks
        return Intake(enriched, dead)
