"""Each gate finds the fault that was planted, names its feature, and is silent about what is honest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.declare.declaration import Task
from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.declare.waivers import Waiver
from headrace.errors import DeclarationError, TrainingError
from headrace.models.encoding import Column, Encoding
from headrace.training.gates import Evidence, Finding, findings, stop
from headrace.training.gates.evidence import Part
from headrace.training.gates.multicollinearity import correlations, growing, inflation
from headrace.training.gates.ranks import auc, spearman

FRAUD = Path(__file__).parents[1] / "projects" / "fraud.py"


def evidence(task: Task, seed: int = 1, size: int = 600, **planted: Any) -> Evidence:
    """A noisy label and an honest feature `past`, beside planted ones: functions of (label, random)."""
    random = np.random.default_rng(seed)
    parts = []
    for count in (size, size // 2):
        past = random.normal(size=count)
        noisy = past + random.normal(size=count)
        label = (noisy > 1).astype(float) if task == "classification" else np.round(10 * noisy)
        columns = [past, *(np.asarray(plant(label, random), dtype=float) for plant in planted.values())]
        parts.append(Part(np.column_stack(columns), label, np.full(count, np.nan)))
    encoding = Encoding([Column(name, "float") for name in ("past", *planted)])
    return Evidence(task, encoding, *parts, 100 * DAY, dict.fromkeys(encoding.names, 7 * DAY))


def found(given: Evidence) -> list[tuple[str, str]]:
    return [(finding.gate, finding.feature) for finding in findings(given)]


@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(["regression", "classification"]))
def test_honest_features_pass(seed: int, task: Task) -> None:
    """A noisy lag, even one that orders the label very well, is no leak; a correlated feature no duplicate."""
    noise = 0.5 if task == "classification" else 1
    near = evidence(
        task, seed,
        strong=lambda label, random: label + random.normal(scale=noise, size=len(label)),
        noise=lambda label, random: random.normal(size=len(label)),
        rare=lambda label, random: np.where(random.random(len(label)) < 0.8, np.nan, 1.0),
    )  # fmt: skip
    assert found(near) == []


@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(["regression", "classification"]))
def test_a_leak_is_found(seed: int, task: Task) -> None:
    def hidden(label: Any, random: Any) -> Any:
        """Falls as the label rises, and is not known everywhere."""
        return np.where(random.random(len(label)) < 0.1, np.nan, 5 - 2 * label)

    assert found(evidence(task, seed, after=hidden)) == [("leakage", "after")]


def test_a_leak_without_order_is_found() -> None:
    """Neither its mean nor its order tells the label, its bins do."""
    leak = evidence(
        "classification", after=lambda label, random: (2 * label - 1) * (random.random(len(label)) < 0.5)
    )
    assert ("leakage", "after") not in found(leak)  # half of it is 0, for either label
    leak = evidence(
        "classification", after=lambda label, random: np.where(label == 1, 0, random.choice([-1, 1], len(label)))
    )
    assert found(leak) == [("leakage", "after")]
    [finding] = findings(leak)
    assert "AUC 1.0000" in finding.cause
    assert finding.evidence["holdout"] == 1.0


def test_levels_that_tell_the_label_are_found() -> None:
    given = evidence("classification", state=lambda label, random: 2 * random.integers(0, 3, len(label)) + label)
    encoding = Encoding([Column("past", "float"), Column("state", "str", tuple("abcdef"))])
    assert found(replace(given, encoding=encoding)) == [("leakage", "state")]


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_nulls_that_tell_the_label_are_found(task: Task) -> None:
    def filled_later(label: Any, random: Any) -> Any:
        return np.where(label > (0 if task == "classification" else 5), random.normal(size=len(label)), np.nan)

    assert found(evidence(task, refund=filled_later)) == [("leakage", "refund")]


def test_what_the_past_tells_as_well_is_no_leak() -> None:
    """A world that repeats itself: the naive forecast, which knows the past alone, is right too."""
    steady = evidence("regression", last=lambda label, random: label)
    assert found(steady) == [("leakage", "last")]
    parts = {
        name: replace(part, naive=part.label)
        for name, part in (("train", steady.train), ("holdout", steady.holdout))
    }
    assert found(replace(steady, **parts)) == []


def test_few_examples_are_not_judged_for_leaks() -> None:
    assert found(evidence("classification", size=40, after=lambda label, random: label)) == []


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-30, 1e30), sign=st.sampled_from([1, -1]))
def test_a_duplicate_is_named_with_its_original(seed: int, factor: float, sign: int) -> None:
    twice = evidence("regression", seed, other=lambda label, random: random.normal(size=len(label)))
    for part in (twice.train, twice.holdout):
        part.matrix[:, 1] = sign * factor * part.matrix[:, 0] + 3 * factor
    [finding] = findings(twice)
    assert (finding.gate, finding.feature, finding.related) == ("multicollinearity", "other", ("past",))
    assert abs(finding.evidence["correlation"]) > 0.999999


def test_a_sum_of_others_is_found_once() -> None:
    noise = {name: lambda label, random: random.normal(size=len(label)) for name in ("a", "b", "c")}
    three = evidence("regression", **noise, total=lambda label, random: label * 0)
    for part in (three.train, three.holdout):
        part.matrix[:, 4] = part.matrix[:, 1:4] @ [1.0, -2.0, 0.5]
    [finding] = findings(three)
    assert (finding.gate, finding.feature) == ("multicollinearity", "total")
    assert finding.evidence["vif"] > 1e6
    assert "without bound" in finding.cause


def test_two_names_of_the_same_levels_are_found() -> None:
    given = evidence(
        "regression",
        city=lambda label, random: random.integers(0, 4, len(label)),
        code=lambda label, random: label * 0,
    )
    for part in (given.train, given.holdout):
        part.matrix[:, 2] = np.array([2, 0, 3, 1])[part.matrix[:, 1].astype(int)]
    encoding = Encoding(
        [Column("past", "float"), Column("city", "str", tuple("abcd")), Column("code", "str", tuple("wxyz"))]
    )
    assert found(replace(given, encoding=encoding)) == [("multicollinearity", "code")]


def test_nulls_and_constants() -> None:
    given = evidence(
        "regression",
        empty=lambda label, random: np.full(len(label), np.nan),
        sparse=lambda label, random: np.where(random.random(len(label)) < 0.97, np.nan, random.random(len(label))),
        same=lambda label, random: np.full(len(label), 4.0),
        flag=lambda label, random: np.where(random.random(len(label)) < 0.5, np.nan, 1.0),
        stopped=lambda label, random: random.normal(size=len(label)),
        filling=lambda label, random: random.normal(size=len(label)),
    )  # fmt: skip
    given.holdout.matrix[100:, 5] = np.nan
    given.train.matrix[100:, 6] = np.nan  # a window that has filled since: the rule, not a fault
    assert found(given) == [("nulls", "empty"), ("nulls", "sparse"), ("nulls", "stopped"), ("constants", "same")]
    same = findings(given)[-1]
    assert same.cause == "it is 4 in all 600 examples of training"


def test_a_short_history_excuses_all_but_leaks() -> None:
    given = evidence("regression", same=lambda label, random: label * 0, leak=lambda label, random: label)
    young = replace(given, reaches={**given.reaches, "same": 366 * DAY, "leak": 366 * DAY})
    assert [finding.stops for finding in findings(given)] == [True, True]
    leak, constant = findings(young)
    assert leak.stops
    assert not constant.stops
    assert constant.young == "training examples span 100d, and 366d is what the feature reads of"


def test_a_waiver_is_for_one_gate_and_one_feature() -> None:
    given = evidence("regression", same=lambda label, random: label * 0, other=lambda label, random: label * 0 + 1)
    waived = replace(given, waivers=(Waiver("constants", "same", "a reason"), Waiver("nulls", "other", "no")))
    one, other = findings(waived)
    assert (one.waived, one.stops) == ("a reason", False)
    assert (other.waived, other.stops) == (None, True)
    stop("shop", [one])
    with pytest.raises(TrainingError) as stopped:
        stop("shop", [one, other])
    assert "constants finds other: it is 1 in all 600 examples" in stopped.value.cause
    assert "same" not in stopped.value.cause
    assert 'shop.waive("constants", feature="other", because="...")' in stopped.value.remedy
    assert [Finding.from_json(finding.to_json()) for finding in (one, other)] == [one, other]


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 60), levels=st.integers(1, 8))
def test_ranks_agree_with_their_definitions(seed: int, size: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    score, label = random.integers(0, levels, size).astype(float), random.random(size) < 0.5
    pairs = [(a, b) for a in score[label] for b in score[~label]]
    area = auc(label, score)
    if not pairs:
        assert area is None
    else:
        assert area == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a, b in pairs]))
    other = random.integers(0, levels, size).astype(float)
    import pandas as pd

    expected = pd.Series(score).rank().corr(pd.Series(other).rank()) if len({*score}) > 1 < len({*other}) else None
    assert spearman(score, other) == (None if expected is None else pytest.approx(expected))


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 6))
def test_inflation_is_that_of_a_regression(seed: int, size: int) -> None:
    """1 / (1 - R²) of each column on the others, by least squares."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(200, size)) @ random.normal(size=(size, size)) + random.normal(size=(200, size))

    def regressed(one: int, others: list[int]) -> float:
        x = np.column_stack([np.ones(200), matrix[:, others]])
        left = matrix[:, one] - x @ np.linalg.lstsq(x, matrix[:, one], rcond=None)[0]
        return float(((matrix[:, one] - matrix[:, one].mean()) ** 2).sum() / (left**2).sum())

    correlation = correlations(matrix)
    everyone = [regressed(one, [other for other in range(size) if other != one]) for one in range(size)]
    np.testing.assert_allclose(inflation(correlation), everyone, rtol=1e-6)
    np.testing.assert_allclose(
        growing(correlation), [regressed(one, list(range(one))) for one in range(size)], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("waiver", "cause", "remedy"),
    [
        ('fraud.waive("leaks", feature="risk", because="x")', "no gate is called 'leaks'", "leakage"),
        ('fraud.waive("nulls", feature="risks", because="x")', "no feature is called 'risks'", "risk"),
        ('fraud.waive("nulls", feature="risk", because=" ")', "no reason", "because="),
        ('fraud.waive("nulls", feature="risk", because="x")\n' * 2, "twice", "one reason"),
    ],
)
def test_a_waiver_of_nothing_is_refused(waiver: str, cause: str, remedy: str, tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(f"{FRAUD.read_text()}\n{waiver}\n")
    with pytest.raises(DeclarationError) as refused:
        read_project(file)
    assert cause in refused.value.cause
    assert remedy in refused.value.remedy


def test_a_declared_waiver_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(FRAUD.read_text() + '\nfraud.waive("nulls", feature="risk", because="a new table")\n')
    assert read_project(file).waivers == (Waiver("nulls", "risk", "a new table"),)
