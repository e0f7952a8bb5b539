"""Every allowed operation, and what is composed of them, executed on Flink: equal to the Python function."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.compile import test_agreement as agreement

from headrace.compile import flink
from headrace.compile.scalar import compile_scalar
from headrace.errors import FeatureError
from headrace.stack import Stack
from headrace.stream.flink.functions import FUNCTIONS
from headrace.stream.flink.gateway import Gateway, Session

pytestmark = pytest.mark.timeout(600)
ROWS = 250
TOGETHER = 40
"""Expressions in one query; Flink compiles each query into one method after the other, and not too long ones."""
TYPES = {"int": "BIGINT", "float": "STRING", "str": "STRING", "bool": "BOOLEAN", "time": "BIGINT"}
READ = {"float": "CAST(`{0}` AS DOUBLE)", "time": "CAST(TO_TIMESTAMP_LTZ(`{0}`, 3) AS TIMESTAMP(3))"}

Row = Mapping[str, Any]


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """The same examples at each run."""
    found: list[Any] = []

    @seed(7)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found[:count]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    found: list[Row] = [row for rows in drawn(agreement.rows, 100) for row in rows]
    texts = ["\uffff", "😀", "z", "\ue000", "", "a\n", "straße"]
    pairs = [{**found[0], "s": one, "r": other} for one in texts for other in texts]
    return [*found[:ROWS], *pairs]


@pytest.fixture(scope="module")
def session(stack: Stack, rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A batch session that knows the rows as `record`."""
    stack.start("flink")
    folder = tmp_path_factory.mktemp("rows")
    for part in (folder, *folder.parents[:2]):
        part.chmod(0o755)
    file = folder / "rows.json"
    file.write_text("\n".join(json.dumps({"n": n} | _written(row)) for n, row in enumerate(rows)))
    columns = ", ".join(f"`{name}` {TYPES[kind.kind]}" for name, kind in agreement.COLUMNS.items())
    read = ", ".join(
        f"{READ.get(kind.kind, '`{0}`').format(name)} AS `{name}`" for name, kind in agreement.COLUMNS.items()
    )
    gateway = Gateway(stack.address("gateway"), stack.address("flink"))
    with gateway.session({"execution.runtime-mode": "batch", "table.local-time-zone": "UTC"}) as opened:
        for function in FUNCTIONS:
            opened.execute(function)
        opened.execute(
            f"CREATE TEMPORARY TABLE given (`n` BIGINT, {columns}) "
            f"WITH ('connector' = 'filesystem', 'path' = '{file}', 'format' = 'json')"
        )
        opened.execute(f"CREATE TEMPORARY VIEW `record` AS SELECT `n`, {read} FROM given")
        yield opened
    gateway.close()


def _written(row: Row) -> dict[str, Any]:
    floats = {name for name, kind in agreement.COLUMNS.items() if kind.kind == "float"}
    return {name: _text(value) if name in floats and value is not None else value for name, value in row.items()}


def _text(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def compare(session: Session, rows: Sequence[Row], cases: Sequence[Any], lazy: bool = False) -> None:
    """Every expression on every row; lazy: where Python overflows, Flink may not need the value."""
    named = {f"x{place}": case for place, case in enumerate(cases)}
    for begin in range(0, len(cases), TOGETHER):
        part = dict(list(named.items())[begin : begin + TOGETHER])
        columns = []
        for name, case in part.items():
            columns.append(f"{flink.expression(case, name)} AS `{name}`")
            over = flink.overflow(case, name)
            columns += [] if over is None else [f"{over} AS `{name}_over`"]
        found = session.execute(f"SELECT `n`, {', '.join(columns)} FROM `record`", timeout=300)
        by_row = {row["n"]: row for row in found}
        assert len(by_row) == len(rows)
        for name, case in part.items():
            _check(case, name, compile_scalar({name: case}), rows, by_row, lazy)


def _check(
    case: Any, name: str, function: Callable[[Row], Any], rows: Sequence[Row], found: Mapping[int, Row], lazy: bool
) -> None:
    for n, row in enumerate(rows):
        over = bool(found[n].get(f"{name}_over", False))
        try:
            expected = function(row)[name]
        except FeatureError:
            assert over or lazy, (case, row)
            continue
        value = _plain(found[n][name], expected)
        assert not over, (case, row)
        rough = agreement.rough(case)
        assert agreement.same(value, expected, rough), (case, flink.expression(case, name), row, value, expected)


def _plain(value: Any, expected: Any) -> Any:
    """JSON has one kind of number, and times as text."""
    if isinstance(expected, float) and isinstance(value, int):
        return float(value)
    if isinstance(value, str) and isinstance(expected, int) and not isinstance(expected, bool):
        return agreement._plain(datetime.fromisoformat(value))
    return value


def test_every_allowed_operation(session: Session, rows: list[Row]) -> None:
    compare(session, rows, agreement.ALL)


def test_composed_expressions(session: Session, rows: list[Row]) -> None:
    kinds = st.sampled_from(sorted(agreement.STEPS))
    compare(session, rows, drawn(kinds.flatmap(lambda kind: agreement.composed(kind, 3)), 120), lazy=True)


def test_patterns(session: Session, rows: list[Row]) -> None:
    patterns = drawn(agreement.PATTERNS, 40)
    cases = [agreement.s.re_search(pattern) for pattern in patterns]
    cases += [agreement.s.re_extract(pattern, 0) for pattern in patterns]
    likes = drawn(st.text(st.sampled_from("ab_%\n.é😀"), max_size=5), 25)
    compare(session, rows, [*cases, *(agreement.s.like(pattern) for pattern in likes)])


def test_the_rows_are_many(rows: list[Row]) -> None:
    assert len(rows) > ROWS
    assert Path(agreement.__file__).name == "test_agreement.py"
