"""The steps of a replay: no longer than the shortest hop, with every point of the grid; feeds cut without loss."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
from hypothesis import given, settings

from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.replay.feed import Feed
from headrace.replay.steps import longest_step, on_grid, steps

ROOT = Path(__file__).parents[2]
INVENTORY = read_project(ROOT / "examples" / "inventory")
FRAUD = read_project(ROOT / "tests" / "projects" / "fraud.py")


def test_the_longest_step_is_the_shortest_hop() -> None:
    assert longest_step(INVENTORY) == DAY
    assert longest_step(FRAUD) == 60_000


@given(st.integers(0, 400 * DAY), st.integers(0, 60 * DAY), st.integers(1, 24))
@settings(max_examples=200, deadline=None)
def test_steps_hold_the_ends_and_every_point_of_the_grid(since: int, length: int, part: int) -> None:
    until = since + length
    marks = steps(INVENTORY, since, until, DAY // part)
    assert marks == sorted(set(marks))
    assert (marks[0], marks[-1]) == (since, until)
    assert all(later - earlier <= DAY // part for earlier, later in pairwise(marks))
    week = 7 * DAY
    assert {mark for mark in marks if on_grid(INVENTORY, mark)} == set(
        range(-(-since // week) * week, until + 1, week)
    )


@given(st.lists(st.integers(0, 1000), max_size=60), st.lists(st.integers(0, 1001), max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_feed_cut_anywhere_loses_and_doubles_nothing(arrivals: list[int], cuts: list[int]) -> None:
    names = [f"p{i}" for i in range(len(arrivals))]
    feed = Feed(
        FRAUD.streams["payment"],
        pa.table({"payment_id": pa.array(names, pa.string())}),
        np.array(arrivals, np.int64),
    )
    edges = [0, *sorted(cuts), 1002]
    found = [feed.between(a, b) for a, b in pairwise(edges)]
    given_back = [name for table, _ in found for name in table.column("payment_id").to_pylist()]
    times = [int(at) for _, ats in found for at in ats]
    assert sorted(given_back) == sorted(names)
    assert times == sorted(arrivals)
    assert feed.count(0, 1002) == len(arrivals)
