"""No label that a model learns from is open when its holdout begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import TrainingError
from headrace.models.comparison import unseen
from headrace.training.splits import split

spans = st.integers(1, 60)


@settings(max_examples=200, deadline=None)
@given(times=st.lists(st.integers(0, 300), min_size=1, max_size=40), holdout=spans, embargo=st.integers(0, 60))
def test_embargo(times: list[int], holdout: int, embargo: int) -> None:
    t = np.array(times, dtype=np.int64)
    newest = t.max()
    possible = ((t + embargo <= newest - holdout + 1) & (t <= newest - holdout)).any()
    if not possible:
        with pytest.raises(TrainingError, match="UTC"):
            split(t, holdout, embargo)
        return
    found = split(t, holdout, embargo)
    assert found.train.any()
    assert found.holdout.any()
    assert not (found.train & found.holdout).any()
    assert t[found.train].max() + embargo <= found.cut <= t[found.holdout].min()
    assert (t[found.holdout] > newest - holdout).all()
    assert found.holdout.sum() == (t > newest - holdout).sum()
    # What is left out is the embargo, and nothing else.
    left = t[~found.train & ~found.holdout]
    assert ((left < found.cut) & (left + embargo > found.cut)).all()
    assert unseen(t, t[found.train].max() + embargo)[found.holdout].all()


def test_the_error_says_from_when_on_it_works() -> None:
    day = 86_400_000
    t = np.array([0, day, 2 * day], dtype=np.int64)
    with pytest.raises(TrainingError, match="1970-01-04 23:59 UTC"):
        split(t, holdout=2 * day, embargo=2 * day)
    later = np.append(t, 4 * day - 1)
    assert split(later, holdout=2 * day, embargo=2 * day).train.tolist() == [True, False, False, False]


def test_no_example_at_all() -> None:
    with pytest.raises(TrainingError, match="no example"):
        split(np.array([], dtype=np.int64), 10, 10)
    with pytest.raises(TrainingError, match="holdout"):
        split(np.array([1, 2]), 0, 10)
