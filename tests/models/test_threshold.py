"""No other threshold is cheaper on the examples that chose it; metrics are of the decisions that it makes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.declare.cost import Cost
from headrace.models.artifact import Span, Spec
from headrace.models.costs import Costs
from headrace.models.encoding import Encoding
from headrace.models.metrics import metrics, precision_at
from headrace.models.threshold import Threshold, cheapest

BOUNDED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PROBABILITY = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nextafter(1.0, 0.0), 5e-324]), st.floats(0, 1, allow_nan=False)
)
EXAMPLES = st.lists(
    st.tuples(st.booleans(), PROBABILITY, st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=25
)


def columns(examples: list[tuple[bool, float, int, int]]) -> tuple[Any, Any, Costs]:
    label, p, missed, alarm = zip(*examples, strict=True)
    return np.array(label), np.array(p), Costs(np.array(missed, float), np.array(alarm, float))


@BOUNDED
@given(EXAMPLES)
def test_no_other_threshold_is_cheaper(examples: list[tuple[bool, float, int, int]]) -> None:
    label, p, costs = columns(examples)
    found = cheapest(label, p, costs)
    cost, alarms = costs.told(label, p >= found), (p >= found).sum()
    assert cost is not None
    for other in [*p, np.nextafter(p.max(), 2.0), 0.0]:
        theirs = costs.told(label, p >= other)
        assert theirs is not None
        assert cost <= theirs + 1e-9
        if abs(cost - theirs) < 1e-9:
            assert alarms <= (p >= other).sum()


@BOUNDED
@given(EXAMPLES, st.randoms())
def test_the_order_of_the_examples_is_no_matter(examples: list[tuple[bool, float, int, int]], random: Any) -> None:
    mixed = list(examples)
    random.shuffle(mixed)
    assert cheapest(*columns(examples)) == cheapest(*columns(mixed))


def test_of_one_class_all_are_decided_alike() -> None:
    p, costs = np.array([0.0, 0.4, 1.0]), Costs(np.full(3, 30.0), np.full(3, 5.0))
    assert not (p >= cheapest([0, 0, 0], p, costs)).any()
    assert (p >= cheapest([1, 1, 1], p, costs)).all()
    with pytest.raises(ValueError, match="no example"):
        cheapest([], [], Costs(np.empty(0), np.empty(0)))


def test_a_cost_that_is_no_positive_number_is_nothing() -> None:
    examples = pa.table({"amount": pa.array([10.0, None, float("nan"), -3.0, float("inf")])})
    costs = Costs.of(Cost("amount", 5.0), examples)
    assert costs.missed.tolist() == [10, 0, 0, 0, 0]
    assert costs.false_alarm.tolist() == [5] * 5
    assert costs.told([1, 1, 1, 1, 0], [0, 0, 0, 0, 1]) == 1_000 * 15 / 5
    assert costs.told([], []) is None


def test_metrics_are_of_the_decisions() -> None:
    label, p = [0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4]
    costs = Costs(np.full(4, 30.0), np.full(4, 5.0))
    half, low = (metrics("classification", label, p, np.array(p) >= at, costs) for at in (0.5, 0.2))
    assert half == {**metrics("classification", label, p), "cost": 15_000.0}
    assert (low["accuracy"], low["precision"], low["recall"], low["cost"]) == (0.75, 2 / 3, 1.0, 1_250.0)
    assert (low["auc"], low["average_precision"]) == (half["auc"], half["average_precision"])
    assert "cost" not in metrics("classification", label, p)


@BOUNDED
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), PROBABILITY), max_size=30), st.integers(1, 5))
def test_precision_at_is_that_of_each_day(rows: list[tuple[int, bool, float]], count: int) -> None:
    day, label, p = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    taken = []
    for one in sorted(set(day)):
        places = [place for place in range(len(rows)) if day[place] == one]
        taken += [label[place] for place in sorted(places, key=lambda place: -p[place])[:count]]
    found = precision_at(count, day, label, p)
    assert found is None if not rows else found == pytest.approx(np.mean(taken))


SPEC = Spec(
    "fraud", "digest", "classification", "bad", Encoding([]), {}, 1, "xgboost 3", Span(0, 100, 5),
    Span(110, 200, 9), 10, {}, {},
)  # fmt: skip


def test_the_spec_keeps_it_and_what_chose_it_is_seen() -> None:
    chosen = Threshold(0.25, 110, 150, 4, 10.0, 40.0, 20.0)
    spec = replace(SPEC, cost=Cost("amount", 5.0), threshold=chosen)
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert (SPEC.unseen_from, spec.unseen_from) == (110, 151)
    assert spec.decide([0.24, 0.25]).tolist() == [False, True]
    assert SPEC.decide([0.49, 0.5]).tolist() == [False, True]


def test_a_spec_of_before_costs_is_read() -> None:
    old = {name: value for name, value in SPEC.to_json().items() if name not in ("cost", "threshold")}
    assert Spec.from_json(old) == SPEC
