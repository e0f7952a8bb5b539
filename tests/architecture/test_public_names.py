"""The public names: adding or removing one is a decision, written down here."""

from __future__ import annotations

import ast
from pathlib import Path

import headrace

PUBLIC = {
    "Bool", "Float", "Int", "Null", "Project", "Str", "Stream", "Table", "Time",
    "above", "better", "cost", "each", "falls", "future", "grid", "outcome", "rises", "window",
}  # fmt: skip
WINDOW = {"count", "sum", "rate", "mean", "min", "max", "variance", "stddev", "first", "last"}
SOURCE = Path(headrace.__file__).parent


def test_the_public_names_are_pinned() -> None:
    assert set(headrace.__all__) == PUBLIC
    assert all(hasattr(headrace, name) for name in PUBLIC)


def test_the_aggregates_are_pinned() -> None:
    assert {name for name in WINDOW if callable(getattr(headrace.window, name))} == WINDOW


def test_no_file_is_named_after_nothing() -> None:
    forbidden = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not [file for file in SOURCE.rglob("*.py") if file.name in forbidden]


def test_no_broad_except() -> None:
    broad = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert broad == []


def test_no_file_holds_too_much() -> None:
    long = {
        str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.py") if len(file.read_text().splitlines()) > 500
    }
    assert long == set()
