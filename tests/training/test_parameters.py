"""Parameters are read as the declared default's kind, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.declare.declaration import Model
from headrace.errors import TrainingError
from headrace.training.parameters import parameters_of

MODEL = Model("train", lambda x, y: None, {"depth": 6, "rate": 0.1, "goal": "mae", "fast": True}, 7, "regression")


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("depth", "8", 8),
        ("depth", 8, 8),
        ("depth", 8.0, 8),
        ("rate", "1e-3", 0.001),
        ("rate", 1, 1.0),
        ("goal", "12", "12"),
        ("fast", "false", False),
        ("fast", True, True),
    ],
)
def test_read(name: str, given: Any, expected: Any) -> None:
    found = parameters_of(MODEL, {name: given})
    assert found == {**MODEL.parameters, name: expected}
    assert type(found[name]) is type(expected)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("depth", "deep"),
        ("depth", 1.5),
        ("depth", "1.5"),
        ("depth", True),
        ("rate", "x"),
        ("rate", False),
        ("fast", 1),
    ],
)
def test_refused_by_name(name: str, given: Any) -> None:
    with pytest.raises(TrainingError, match=f"parameter {name}"):
        parameters_of(MODEL, {name: given})


def test_an_unknown_parameter_is_told_the_known_ones() -> None:
    with pytest.raises(TrainingError, match="depth, rate, goal, fast"):
        parameters_of(MODEL, {"dept": 8})
