"""The monitor role: what the rules say, and what the policy makes of it, into the ledger.

It looks at instants up to which the archive has all that arrived: live, every `EVERY` seconds at the watermark;
under replay at every closed mark, when the archive has passed it. The ledger comes first, and the registry follows
it: a promotion is kept in the transaction that writes it down, done after that, and done at the next start where a
kill came between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds

from headrace.declare.topics import Topics
from headrace.log.consumer import Consumer
from headrace.models.artifact import Artifact, Spec
from headrace.models.registry import Version
from headrace.monitoring.gauges import Gauges
from headrace.monitoring.monitor import Monitor
from headrace.monitoring.predictions import Predictions
from headrace.monitoring.verdict import Verdict
from headrace.monitoring.watermark import watermark
from headrace.retraining.alerts import firing, news
from headrace.retraining.intake import Intakes
from headrace.retraining.ledger import Entry, Ledger
from headrace.retraining.retrainer import Retrainer
from headrace.retraining.webhook import Webhook
from headrace.roles.context import IDLE, Context
from headrace.roles.exposition import expose

EVERY: Final = 10.0
"""Seconds between two looks when live."""
_TRAINING: Final = "training"
_PROMOTION: Final = "promotion"


def run(context: Context) -> None:
    watch = Watch(context)
    expose(context, watch.gauges)
    watch.run()


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
        intakes = Intakes(declaration, context.log, self._archive)
        self._retrainer = Retrainer(declaration.retrain, self._load, self._train, intakes.between)
        self._ledger = Ledger(context.log, context.schemas, self._topics.ledger)
        self._ledger.create()
        self._writer = context.log.writer("monitor")
        self._entries = list(self._ledger.read())
        self._artifacts: dict[int, Artifact] = {}
        self._reigning: Version | None = None
        self.gauges = Gauges()
        address = profile.webhook()
        self._webhook = None if address is None else Webhook(declaration.name, declaration.monitors, address)

    def run(self) -> None:
        self._promote()
        for now in self._instants():
            entries = self._decide(now)
            self._write(now, entries)
            self._promote()
            for entry in entries:
                self._context.say.info("%s %s: %s", entry.kind, entry.subject, entry.detail.get("reason", ""))
            self._entries += entries

    # When to look

    def _instants(self) -> Iterator[int]:
        return self._watermarks() if self._context.profile.clock == "wall" else self._marks()

    def _watermarks(self) -> Iterator[int]:
        """Live: now and then, where the watermark has moved on."""
        context = self._context
        passed = max((entry.at for entry in self._entries), default=0)
        while not context.stop.is_set():
            now = watermark(context.declaration, context.log, context.schemas, context.clock.now() or 0)
            self._catch_up()
            if now > passed:
                yield now
                passed = now
            self._rest()

    def _rest(self) -> None:
        """Until the next look, or until Alertmanager has something to say."""
        if self._webhook is None:
            self._context.stop.wait(EVERY)
        else:
            self._webhook.wait(EVERY)

    def _catch_up(self) -> None:
        """Reads the predictions that are logged by now; what is logged meanwhile is left for the next look."""
        log, topic = self._context.log, self._topics.predictions
        if all(known.name != topic for known in log.topics()):
            return
        ends = [last for _, last in log.bounds(topic)]
        while any(self._predictions.position().get((topic, place), 0) < end for place, end in enumerate(ends)):
            if not self._consumer.step():
                return

    def _marks(self) -> Iterator[int]:
        """Under replay: at each closed mark that all that it needs has passed."""
        context = self._context
        passed = context.log.committed("monitor").mark
        while not context.stop.is_set():
            read = self._consumer.step()
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

    # What to do

    def _decide(self, now: int) -> list[Entry]:
        champion = self._reigning = self._champion()
        verdicts = [] if champion is None else self._look(now, str(champion.number))
        entries = news(self._entries, verdicts, now)
        on = sorted(firing([*self._entries, *entries]))
        return entries + self._retrainer.consider([*self._entries, *entries], on, champion, now)

    def _look(self, now: int, champion: str) -> list[Verdict]:
        """What the rules say, or Alertmanager, who has them compiled."""
        verdicts = self._monitor.evaluate(now, champion)
        drifts = self._monitor.drifts(now, champion)
        self.gauges.show(champion, verdicts, self._monitor.references(champion), drifts, now)
        return verdicts if self._webhook is None else self._webhook.rule(verdicts)

    def _write(self, now: int, entries: list[Entry]) -> None:
        """Writes down what was decided; the mark is passed when a promotion among it is done."""
        mark = None if self._context.profile.clock == "wall" else now
        promoted = [entry.detail["challenger"] for entry in entries if entry.kind == "promote"]
        with self._writer.transaction() as transaction:
            self._ledger.append(transaction, entries)
            transaction.keep(_TRAINING, None)
            for number in promoted:
                transaction.keep(_PROMOTION, json.dumps({"version": number, "mark": mark}).encode())
            transaction.commit(self._predictions.position(), None if promoted else mark)

    def _promote(self) -> None:
        """Does the promotion that was written down and not done yet, if any."""
        kept = self._writer.kept(_PROMOTION)
        if kept is None:
            return
        found = json.loads(kept)
        self._registry.promote(self._registry.version(found["version"]))
        with self._writer.transaction() as transaction:
            transaction.keep(_PROMOTION, None)
            transaction.commit({}, found["mark"])

    def _champion(self) -> Version | None:
        """The champion; after a kill within a training, that before it.

        (A first model is crowned as it is registered, before its entry.)
        """
        kept = self._writer.kept(_TRAINING)
        if kept is None:
            return self._registry.champion()
        number = json.loads(kept)
        return None if number is None else self._registry.version(number)

    def _train(self, until: int) -> tuple[Version, pa.Table]:
        before = None if self._reigning is None else self._reigning.number
        with self._writer.transaction() as transaction:
            transaction.keep(_TRAINING, json.dumps(before).encode())
        context = self._context
        train = context.profile.open_runner()
        result = train(context.declaration, context.profile, until, {}, context.say.info)
        return self._registry.version(result.version), result.held_out()

    # What it reads

    def _events(self, where: ds.Expression) -> pa.Table:
        return self._archive.read(self._topics.enriched(self._context.declaration.label.stream), where=where)

    def _spec(self, version: str) -> Spec:
        known = self._artifacts.get(int(version))
        return (known or self._load(self._registry.version(int(version)))).spec

    def _load(self, version: Version) -> Artifact:
        if version.number not in self._artifacts:
            self._artifacts[version.number] = self._registry.load(version)
        return self._artifacts[version.number]
