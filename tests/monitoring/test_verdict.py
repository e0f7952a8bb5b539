"""Rules and verdicts: limits, too few observations, both directions."""

from __future__ import annotations

import pytest

from headrace.declare.rules import Rule, above, falls, rises
from headrace.monitoring.verdict import judge


@pytest.mark.parametrize(
    ("rule", "value", "reference", "state"),
    [
        (above(0.2), 0.2, None, "ok"),
        (above(0.2), 0.21, None, "alert"),
        (rises(0.1), 1.1, 1.0, "ok"),
        (rises(0.1), 1.11, 1.0, "alert"),
        (falls(0.25), 0.75, 1.0, "ok"),
        (falls(0.25), 0.74, 1.0, "alert"),
        (rises(0.1), 9.0, None, "no data"),
        (rises(0.1), None, 1.0, "no data"),
    ],
)
def test_limits(rule: Rule, value: float | None, reference: float | None, state: str) -> None:
    assert judge("mae", rule, value, 1_000, reference, "model 1").state == state


def test_below_the_minimum_it_is_no_data_never_ok() -> None:
    assert judge("mae", above(0.2, minimum=50), 0.0, 49, None, "model 1").state == "no data"
    assert judge("mae", above(0.2, minimum=50), 0.0, 50, None, "model 1").state == "ok"
