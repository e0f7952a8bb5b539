"""The compiled Python function: laziness, sharing, errors."""

from __future__ import annotations

from typing import Any

import ibis
import pytest

from headrace.compile.kinds import INT_MAX
from headrace.compile.scalar import compile_scalar
from headrace.declare.row import relation
from headrace.declare.types import ColumnType
from headrace.errors import FeatureError

kinds: dict[str, Any] = {"i": "int", "f": "float", "s": "str", "b": "bool", "t": "time"}
record = relation({name: ColumnType(kind, nullable=True) for name, kind in kinds.items()})
i, f, s, b, t = (record[name] for name in kinds)


def test_an_overflow_names_the_feature_and_the_operation() -> None:
    compute = compile_scalar({"fine": i, "twice": i * 2})
    with pytest.raises(FeatureError, match=r"twice: \* overflows a 64-bit int"):
        compute({"i": INT_MAX})


def test_a_missing_column_is_named() -> None:
    with pytest.raises(FeatureError, match="column 'f': the row does not have it"):
        compile_scalar({"x": f + i})({"i": 1})


def test_branches_are_computed_only_where_needed() -> None:
    big = i + INT_MAX
    compute = compile_scalar(
        {
            "case": ibis.cases((i < 0, big), (i == 0, 5), (big < 0, 6), else_=big),
            "coalesce": i.coalesce(big),
        }
    )
    assert compute({"i": 0}) == {"case": 5, "coalesce": 0}
    assert compute({"i": -1}) == {"case": INT_MAX - 1, "coalesce": -1}
    with pytest.raises(FeatureError):
        compute({"i": 1})


def test_shared_parts_are_computed_once() -> None:
    share = f / i
    source = compile_scalar({"a": share + 1, "b": share * 2, "c": share}).source
    assert source.count(" / ") == 1


def test_a_part_first_used_in_a_branch_is_there_outside_of_it() -> None:
    part = s.length()
    compute = compile_scalar({"a": b.ifelse(part, 0), "b": part})
    assert compute({"b": False, "s": "é!"}) == {"a": 0, "b": 2}
    assert compute({"b": True, "s": "é!"}) == {"a": 2, "b": 2}


def test_a_case_may_have_hundreds_of_branches() -> None:
    words = [f"word {n}" for n in range(300)]
    case = s.cases(*((word, n) for n, word in enumerate(words)), else_=-1)
    compute = compile_scalar({"x": case})
    assert [compute({"s": word})["x"] for word in words] == list(range(300))
    assert compute({"s": None})["x"] == compute({"s": "?"})["x"] == -1


def test_constants_need_no_columns() -> None:
    compute = compile_scalar(
        {"x": ibis.literal(2) + 3, "y": ibis.literal("a{b}'\n"), "z": ibis.timestamp("1970-01-02")}
    )
    assert compute({}) == {"x": 5, "y": "a{b}'\n", "z": 86_400_000}


def test_names_need_not_be_identifiers() -> None:
    odd = relation({"a b": ColumnType("int"), "class": ColumnType("int"), "row": ColumnType("int")})
    compute = compile_scalar({"it's": odd["a b"] + odd["class"] + odd["row"]})
    assert compute({"a b": 1, "class": 2, "row": 3}) == {"it's": 6}
    assert "row['a b']" in compute.source
