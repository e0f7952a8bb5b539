"""Partials merge the same in any grouping, and the value of a window feature is made of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.declare.declaration import View, WindowFeature
from headrace.declare.types import ColumnType, Kind
from headrace.declare.window import FAMILY, Aggregate, Family
from headrace.errors import FeatureError
from headrace.features.partials import EMPTY, Partial, Scalar, merge, value

BOUNDED = settings(max_examples=100, deadline=None)


def feature(aggregate: Aggregate, kind: Kind = "int", of: Kind = "int") -> WindowFeature:
    view = View("v", "sale", ("sku",), 60_000, FAMILY[aggregate], None, ColumnType(of))
    return WindowFeature("recent__it", view, aggregate, 7 * 86_400_000, 86_400_000, ColumnType(kind, nullable=True))


def partial_of(family: Family, place: int, found: Any) -> Partial:
    """The partial of one event, the `place`th in the order of event time and id."""
    match family:
        case "total":
            return Partial(1, found)
        case "moments":
            return Partial(1, float(found), 0.0)
        case "extremes":
            return Partial(1, found, found)
        case "ends":
            at, id_ = place // 2, f"/00000/{place % 2}"
            return Partial(1, found, found, at, id_, at, id_)


def grouped(family: Family, partials: Sequence[Partial], cuts: Sequence[int]) -> Partial:
    """Merged in groups first, and the groups after that, empty ones among them."""
    edges = sorted({0, len(partials), *(cut % (len(partials) + 1) for cut in cuts)})
    groups = [merge(family, partials[one:other]) for one, other in pairwise(edges)]
    return merge(family, [EMPTY, *groups, EMPTY])


WHOLE = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))


@BOUNDED
@given(values=st.lists(WHOLE, max_size=20), cuts=st.lists(st.integers(0, 20), max_size=4), order=st.randoms())
def test_any_grouping_gives_the_same_total_extremes_and_ends(
    values: list[int], cuts: list[int], order: Any
) -> None:
    places = list(range(len(values)))
    order.shuffle(places)
    for family in ("total", "extremes", "ends"):
        found = grouped(family, [partial_of(family, place, values[place]) for place in places], cuts)
        assert found.n == len(values)
        if not values:
            assert found == EMPTY
        elif family == "total":
            assert found.a == sum(values)
        elif family == "extremes":
            assert (found.a, found.b) == (min(values), max(values))
        else:
            assert (found.a, found.b) == (values[0], values[-1])


@BOUNDED
@given(
    values=st.lists(st.floats(-1e3, 1e3).map(lambda found: round(found, 9)), min_size=1, max_size=30),
    offset=st.sampled_from([0.0, 1e9]),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
def test_moments_keep_their_precision_far_from_zero(values: list[float], offset: float, cuts: list[int]) -> None:
    values = [found + offset for found in values]
    found = grouped("moments", [partial_of("moments", n, one) for n, one in enumerate(values)], cuts)
    exact = [Fraction(one) for one in values]
    mean = sum(exact) / len(exact)
    squares = float(sum((one - mean) ** 2 for one in exact))
    rounding = 8 * 2.0**-52 * max(map(abs, values))
    assert isinstance(found.a, float)
    assert isinstance(found.b, float)
    assert found.n == len(values)
    assert abs(found.a - float(mean)) <= rounding
    spread = math.sqrt(squares * len(values))
    assert abs(found.b - squares) <= 1e-9 * squares + 2 * rounding * spread + len(values) * rounding**2


@pytest.mark.parametrize(
    ("window", "partial", "wanted"),
    [
        (feature("count"), EMPTY, 0),
        (feature("count"), Partial(3, 3), 3),
        (feature("sum"), EMPTY, 0),
        (feature("sum", "float", "float"), EMPTY, 0.0),
        (feature("sum"), Partial(2, 2**63 - 1), 2**63 - 1),
        (feature("sum", "float", "float"), Partial(2, 1.5), 1.5),
        (feature("rate", "float"), EMPTY, 0.0),
        (feature("rate", "float"), Partial(2, 14), 2.0),
        (feature("mean", "float"), EMPTY, None),
        (feature("mean", "float"), Partial(4, 6), 1.5),
        (feature("min"), EMPTY, None),
        (feature("min"), Partial(2, -1, 4), -1),
        (feature("max", "str", "str"), Partial(2, "a", "b"), "b"),
        (feature("max", "bool", "bool"), Partial(2, 0, 1), True),
        (feature("min", "time", "time"), Partial(1, 1_000, 2_000), 1_000),
        (feature("variance", "float"), EMPTY, None),
        (feature("variance", "float"), Partial(4, 0.5, 8.0), 2.0),
        (feature("stddev", "float"), Partial(2, 0.5, 8.0), 2.0),
        (feature("first", "str", "str"), Partial(2, "x", "y", 1, "i", 2, "j"), "x"),
        (feature("last", "bool", "bool"), Partial(2, 1, 0, 1, "i", 2, "j"), False),
        (feature("last"), EMPTY, None),
    ],
)
def test_a_value_is_made_of_a_partial(window: WindowFeature, partial: Partial, wanted: Scalar) -> None:
    found = value(window, partial)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("aggregate", sorted(FAMILY))
def test_before_the_first_event_every_value_is_null(aggregate: Aggregate) -> None:
    assert value(feature(aggregate), None) is None


@pytest.mark.parametrize("aggregate", ["sum", "rate", "mean"])
@pytest.mark.parametrize("total", [2**63, -(2**63) - 1])
def test_a_sum_beyond_64_bits_is_an_error_that_names_the_feature(aggregate: Aggregate, total: int) -> None:
    with pytest.raises(FeatureError, match=r"recent\.it: its sum .* 64 bits"):
        value(feature(aggregate), Partial(2, total))
