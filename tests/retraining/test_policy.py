"""The policy is a pure function of the ledger and of what fires."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given, settings

from headrace.declare.duration import DAY, HOUR
from headrace.declare.rules import Retrain, better
from headrace.monitoring.verdict import Verdict
from headrace.retraining.alerts import firing, news
from headrace.retraining.ledger import Entry
from headrace.retraining.policy import BUDGET_PERIOD, decide
from headrace.retraining.promotion import better_by

POLICY = Retrain(("mae", "psi"), None, cooldown=7 * DAY, holdout=14 * DAY, budget=2, promote=better("mae", by=0.01))


def train(*days: int) -> list[Entry]:
    return [Entry(day * DAY, "train", "model") for day in days]


def test_nothing_fires_nothing_is_done() -> None:
    assert decide(POLICY, [], [], 0, 0).kind == "nothing"


def test_a_metric_outside_the_policy_trains_nothing() -> None:
    assert decide(POLICY, [], ["rmse"], 0, 0).kind == "nothing"


def test_the_first_model_is_trained_without_an_alert() -> None:
    assert decide(POLICY, [], [], None, 0).kind == "train"


def test_a_cooldown_ends_exactly() -> None:
    assert decide(POLICY, train(0), ["mae"], 0, 7 * DAY - 1).kind == "skip"
    assert decide(POLICY, train(0), ["mae"], 0, 7 * DAY).kind == "train"


def test_the_budget_counts_thirty_days() -> None:
    assert decide(POLICY, train(0, 8), ["mae"], 0, 16 * DAY).kind == "skip"
    assert decide(POLICY, train(0, 8), ["mae"], 0, BUDGET_PERIOD).kind == "train"


def test_a_schedule_trains_without_an_alert() -> None:
    scheduled = Retrain((), 10 * DAY, 0, 14 * DAY, 100, better("mae"))
    assert decide(scheduled, train(0), [], 0, 10 * DAY - 1).kind == "nothing"
    assert decide(scheduled, train(0), [], 0, 10 * DAY).kind == "train"


def test_a_schedule_counts_from_the_champions_data_where_the_ledger_has_no_training() -> None:
    """As after `headrace train`."""
    scheduled = Retrain((), 10 * DAY, 0, 14 * DAY, 100, better("mae"))
    assert decide(scheduled, [], [], 5 * DAY, 15 * DAY - 1).kind == "nothing"
    assert decide(scheduled, [], [], 5 * DAY, 15 * DAY).kind == "train"


def test_where_no_retraining_is_declared_nothing_is_trained() -> None:
    undeclared = Retrain((), None, 7 * DAY, 14 * DAY, 10, better("mae"))
    assert decide(undeclared, [], [], None, 0).kind == "nothing"


def failed(*at: int) -> list[Entry]:
    return [Entry(moment, kind, "model") for moment in at for kind in ("train", "failed")]  # type: ignore[arg-type]


def test_failed_trainings_count_neither_in_cooldown_nor_in_budget() -> None:
    past = failed(0, 2 * DAY, 4 * DAY)
    assert decide(POLICY, past, [], None, 5 * DAY).kind == "train"
    assert decide(POLICY, [*train(0), *failed(8 * DAY)], ["mae"], 0, 9 * DAY).kind == "train"


def test_after_a_failure_the_next_training_waits_ever_longer_a_day_at_most() -> None:
    assert decide(POLICY, failed(0), [], None, HOUR - 1).kind == "skip"
    assert decide(POLICY, failed(0), [], None, HOUR).kind == "train"
    twice = decide(POLICY, failed(0, HOUR), [], None, 3 * HOUR - 1)
    assert (twice.kind, twice.until) == ("skip", 3 * HOUR)
    often = failed(*range(0, 400 * DAY, DAY))
    assert decide(POLICY, often, [], None, 400 * DAY - 1).kind == "skip"
    assert decide(POLICY, often, [], None, 400 * DAY).kind == "train"


def test_a_training_that_gave_a_model_ends_the_row_of_failures() -> None:
    done = [*failed(0, HOUR), Entry(DAY, "train", "model"), Entry(DAY, "refuse", "version 2")]
    again = [*done, *failed(9 * DAY)]
    assert decide(POLICY, again, ["mae"], 0, 9 * DAY + HOUR).kind == "train"


@given(st.lists(st.integers(0, 90), max_size=12), st.integers(0, 120))
@settings(max_examples=200, deadline=None)
def test_training_never_breaks_cooldown_or_budget(days: Sequence[int], day: int) -> None:
    past = [entry for entry in train(*sorted(days)) if entry.at <= day * DAY]
    if decide(POLICY, past, ["mae"], 0, day * DAY).kind == "train":
        assert all(day * DAY - entry.at >= POLICY.cooldown for entry in past)
        assert sum(day * DAY - entry.at < BUDGET_PERIOD for entry in past) < POLICY.budget


def verdict(state: str) -> Verdict:
    return Verdict("mae", state, 1.0, 0.9, 100, "model 1")  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["ok", "alert", "no data"]), max_size=30))
@settings(max_examples=200, deadline=None)
def test_an_alert_is_news_only_when_it_begins_or_ends(states: Sequence[str]) -> None:
    entries: list[Entry] = []
    for at, state in enumerate(states):
        before = firing(entries)
        new = news(entries, [verdict(state)], at)
        entries += new
        assert firing(entries) == ({"mae"} if state == "alert" else set())
        assert bool(new) == (firing(entries) != before)


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.sampled_from(["mae", "auc"]))
@settings(max_examples=200, deadline=None)
def test_one_of_two_models_at_most_is_promoted_over_the_other(a: float, b: float, metric: str) -> None:
    condition = better(metric, by=0.01)
    assert not (better_by(condition, a, b)[0] and better_by(condition, b, a)[0])
    assert not better_by(condition, a, a)[0]
