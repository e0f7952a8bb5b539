"""The monitor role: it looks at instants that are final, whatever else goes on, and mends what a kill cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.declare.duration import DAY, HOUR
from headrace.declare.load import read_project
from headrace.declare.predictions import prediction_columns
from headrace.errors import TrainingError
from headrace.log.contract import Topic
from headrace.monitoring.watermark import IN_FLIGHT, watermark
from headrace.profiles import Profile
from headrace.retraining.intake import Intake, Intakes
from headrace.retraining.ledger import Ledger
from headrace.roles import monitor
from headrace.roles.archive import catch_up
from headrace.roles.context import Context
from headrace.roles.monitor import Watch
from headrace.schema.avro import encode_block, nullable_schema
from headrace.stream.enricher import Enricher
from headrace.stream.producer import Producer

PROJECT = Path(__file__).parents[1] / "projects" / "shop.py"
T = 17_360 * DAY


@dataclass
class Stopped:
    """A clock that stands still."""

    time: int

    def now(self) -> int:
        return self.time

    def mark(self) -> None:
        return None

    def closed(self) -> None:
        return None


class Shop:
    """A project's log and archive, whose roles run when they are told to."""

    def __init__(self, home: Path) -> None:
        self.declaration, self.profile = read_project(PROJECT), Profile("local", home, partitions=2)
        self.log, self.schemas = self.profile.open_log(), self.profile.open_schemas()
        self.archive = self.profile.open_archive(self.declaration)

    def context(self, role: str, now: int = T) -> Context:
        return replace(Context.of(role, self.declaration, self.profile), clock=Stopped(now))

    def sell(self, *times: int, units: int = 1) -> None:
        """A sale at each time (ms), which arrives then."""
        rows = [{"sku": "sku 0", "units": units, "sold_at": time} for time in times]
        stream = self.declaration.streams["sale"]
        Producer(self.log, self.schemas, stream, partitions=2).send_rows(rows, arrivals=list(times))

    def enrich(self) -> None:
        enricher = Enricher(self.declaration, self.log, self.schemas)
        while enricher.step():
            pass
        enricher.close()

    def predict(self, *times: int) -> None:
        """A prediction for one SKU at each time (ms)."""
        given: dict[str, Any] = {
            "_id": [str(time) for time in times], "_t": times, "_made": times, "_model": ["1"] * len(times),
            "_prediction": [3.0] * len(times), "sku": ["sku 0"] * len(times),
        }  # fmt: skip
        columns = prediction_columns(self.declaration)
        table = {name: pa.array(given.get(name, [None] * len(times)), kind.arrow) for name, kind in columns.items()}
        self.log.create(Topic("shop.predictions", "serve", 1))
        known = self.schemas.register("shop.predictions-value", nullable_schema("shop.predictions", columns))
        writer = self.log.writer("serve")
        with writer.transaction() as transaction:
            transaction.append("shop.predictions", 0, encode_block(pa.table(table), known.id, times[-1]))
        writer.close()

    def watermark(self, now: int = T) -> int:
        return watermark(self.declaration, self.log, self.schemas, now)

    def ledger(self) -> list[str]:
        return [entry.kind for entry in Ledger(self.log, self.schemas, "shop.ledger").read()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_the_watermark_is_the_earliest_arrival_that_is_not_archived(shop: Shop) -> None:
    assert shop.watermark() == T - IN_FLIGHT
    shop.sell(T - 5 * HOUR, T - 4 * HOUR, T - 3 * HOUR)
    assert shop.watermark() == T - 5 * HOUR
    shop.enrich()
    assert shop.watermark() == T - 5 * HOUR
    catch_up(shop.context("archive"))
    assert shop.watermark() == T - IN_FLIGHT
    shop.sell(T - 2 * HOUR, units=-1)
    assert shop.watermark() == T - 2 * HOUR
    shop.enrich()  # a dead letter is nothing to archive
    assert shop.watermark() == T - IN_FLIGHT
    shop.sell(T - HOUR)
    shop.enrich()
    assert shop.watermark() == T - HOUR


def reigning(**spec: Any) -> Any:
    """A model that predicts 3, of which the monitor knows what it must."""
    known = {
        "task": "regression", "metrics": {}, "baselines": {}, "prediction": None, "unseen_from": 0, "embargo": 0,
        "holdout": SimpleNamespace(last=0), "cost": None, "encoding": SimpleNamespace(names=()),
    }  # fmt: skip
    return SimpleNamespace(
        spec=SimpleNamespace(**(known | spec)), predict_table=lambda table: np.full(table.num_rows, 3.0)
    )


@dataclass
class Registry:
    """Versions by number; the champion's number. `kill` is called around a promotion."""

    champions: list[int] = field(default_factory=list)
    kill: Callable[[str], None] = lambda when: None

    def champion(self) -> Any:
        return self.version(self.champions[-1]) if self.champions else None

    def version(self, number: int) -> Any:
        return SimpleNamespace(number=number)

    def load(self, version: Any) -> Any:
        return reigning()

    def promote(self, version: Any) -> None:
        self.kill("before the promotion")
        if self.champions[-1:] != [version.number]:
            self.champions.append(version.number)
        self.kill("after the promotion")


def watch(shop: Shop, registry: Registry, now: int = T) -> Watch:
    made = Watch(shop.context("monitor", now))
    made._registry = registry  # type: ignore[assignment]
    return made


def test_live_a_label_is_judged_when_the_archive_has_all_that_it_counts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "EVERY", 0.0)
    t = T - 2 * DAY
    shop.predict(t)
    shop.sell(t + HOUR, t + 2 * HOUR)
    shop.enrich()
    catch_up(shop.context("archive"))
    last = t + 20 * HOUR
    shop.sell(last)
    shop.enrich()
    watching = watch(shop, Registry([1]))
    instants = watching._instants()
    assert next(instants) == last
    watching._monitor.evaluate(last, "1")
    assert watching._monitor.judged.num_rows == 0
    catch_up(shop.context("archive"))
    assert next(instants) == T - IN_FLIGHT
    watching._monitor.evaluate(T - IN_FLIGHT, "1")
    assert watching._monitor.judged.column("label").to_pylist() == [3]


def test_live_it_looks_also_while_predictions_keep_coming(shop: Shop) -> None:
    shop.predict(T - DAY)
    watching, more = watch(shop, Registry([1])), iter(range(100))
    real = watching._consumer.step

    def step() -> int:
        shop.predict(T - HOUR + next(more))
        return real()

    watching._consumer.step = step  # type: ignore[method-assign]
    assert next(watching._instants()) == T - DAY


def test_a_look_never_goes_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repaired record, or a watch that was set back, would take the watermark with it."""
    monkeypatch.setattr(monitor, "EVERY", 0.0)
    watching, times = watch(shop, Registry([1])), iter([5, 3, 7])
    monkeypatch.setattr(monitor, "watermark", lambda *_: next(times))
    looks = watching._instants()
    assert [next(looks), next(looks)] == [5, 7]


def test_the_intake_is_counted_by_arrival(shop: Shop) -> None:
    """What came in after the instant, as requests of the same step do, changes nothing."""
    intakes = Intakes(shop.declaration, shop.log, shop.archive)
    assert intakes.between(None, T) == Intake(0, 0)
    shop.sell(T - 3 * HOUR, T - 2 * HOUR, T - HOUR)
    shop.sell(T - 3 * HOUR, T - HOUR, units=-1)
    shop.sell(T, T + 1)
    shop.sell(T, units=-1)
    shop.enrich()
    catch_up(shop.context("archive"))
    assert intakes.between(None, T) == Intake(3, 2)
    assert intakes.between(T - 2 * HOUR, T) == Intake(2, 1)
    shop.sell(T - 1, units=-1)
    shop.enrich()
    assert intakes.between(T - 2 * HOUR, T + 2) == Intake(4, 3)


class Killed(BaseException):
    """What no handler takes for an error."""


HELD = pa.table({"t": [1], "label": [3.0], "naive": [4.0]})


@pytest.mark.parametrize("before", [[], [1]], ids=["first model", "challenger"])
@pytest.mark.parametrize("point", ["in the training", "before the promotion", "after the promotion", "never"])
def test_a_kill_loses_no_entry_and_no_promotion(
    point: str, before: list[int], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is passed when the promotion is done, so that a replay's next step has the new champion."""
    kills = [point]

    def kill(where: str) -> None:
        if where in kills:
            kills.remove(where)
            raise Killed

    registry, made = Registry(list(before), kill), iter(range(2, 9))

    def train(*_: Any) -> Any:
        version = next(made)
        if not registry.champions:
            registry.champions.append(version)  # as the register step does
        kill("in the training")
        return SimpleNamespace(version=version, held_out=lambda: HELD)

    def instants(watching: Watch) -> Iterator[int]:
        return iter([] if shop.log.committed("monitor").mark == T else [T])

    monkeypatch.setattr(Profile, "open_runner", lambda profile: train)
    monkeypatch.setattr(Watch, "_instants", instants)

    def load(_: Registry, version: Any) -> Any:
        return reigning(encoding=SimpleNamespace(names=("gone",) if version.number == 1 else ()))

    monkeypatch.setattr(Registry, "load", load)
    shop.profile = replace(shop.profile, clock="marks")
    first = watch(shop, registry)
    if point == "never":
        first.run()
    else:
        with pytest.raises(Killed):
            first.run()
        assert shop.log.committed("monitor").mark is None
    first._writer.close()
    second = watch(shop, registry)
    second.run()
    second._writer.close()
    assert shop.log.committed("monitor").mark == T
    assert shop.ledger() == ["train", "promote"]
    assert registry.champions[-1] == (3 if point == "in the training" else 2)
    again = watch(shop, registry)
    registry.champions.append(1)  # a rollback by hand
    again.run()
    again._writer.close()
    assert registry.champions[-1] == 1


def test_a_training_that_fails_is_forgotten_by_the_next_start(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any) -> Any:
        raise TrainingError("training set", "it has no example whose label is final", "wait")

    monkeypatch.setattr(Profile, "open_runner", lambda profile: train)
    monkeypatch.setattr(Watch, "_instants", lambda self: iter([T]))
    watching = watch(shop, Registry())
    watching.run()
    assert shop.ledger() == ["train", "failed"]
    assert watching._writer.kept("training") is None
