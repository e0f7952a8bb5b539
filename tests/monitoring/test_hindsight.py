"""Hindsight: a version that needs what the project no longer has scores on nothing, and the others do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.declare.predictions import prediction_columns
from headrace.monitoring.hindsight import hindsight

SHOP = Path(__file__).parents[1] / "projects" / "shop.py"
T = 17_360 * DAY


def model(*needs: str) -> SimpleNamespace:
    def predict_table(table: pa.Table) -> object:
        return np.full(len(table.select(list(needs))), 5.0)

    return SimpleNamespace(
        spec=SimpleNamespace(task="regression", encoding=SimpleNamespace(names=needs)), predict_table=predict_table
    )


def test_a_version_with_features_of_old() -> None:
    declaration = read_project(SHOP)
    given = {"_id": ["1"], "_t": [T], "_model": ["1"], "_prediction": [1.0], "sku": ["a"]}
    kinds = prediction_columns(declaration)
    made = pa.table({name: pa.array(given.get(name, [None]), kind.arrow) for name, kind in kinds.items()})
    sale = {
        "sku": ["a"], "units": [3], "sold_at": pa.array([T + 1], pa.timestamp("ms")), "_time": [T + 1],
        "_arrival": [T + 1], "_file": pa.nulls(1, pa.string()), "_partition": [0], "_offset": [0],
    }  # fmt: skip
    versions = {"old": model("dropped"), "new": model("units_1d")}
    found = hindsight(declaration, made, pa.table(sale).filter, versions, T + 2 * DAY)  # type: ignore[arg-type]
    assert found["new"]["mae"] == 2.0
    assert (found["old"]["mae"], found["old"]["examples"]) == (None, 0.0)
    assert set(found["old"]) == set(found["new"])


def test_decisions_are_those_that_were_served_and_a_version_has_its_own(tmp_path: Path) -> None:
    text = (SHOP.parent / "fraud.py").read_text()
    priced = text.replace("seed=11", "seed=11, cost=hr.cost(missed='amount', false_alarm=5)")
    (tmp_path / "project.py").write_text(priced)
    declaration = read_project(tmp_path)
    given = {
        "_t": [T, T + 1, T + 2], "_prediction": [0.2, 0.6, 0.7], "_decision": [True, False, None],
        "payment_id": ["a", "b", "c"], "amount": [100.0, 10.0, 20.0],
    }  # fmt: skip
    kinds = prediction_columns(declaration)
    made = pa.table({name: pa.array(given.get(name, [None] * 3), kind.arrow) for name, kind in kinds.items()})
    lost = {
        "payment_id": ["a", "b"], "lost": [1.0, 1.0], "_time": [T + 9] * 2, "_arrival": [T + 9] * 2,
        "_file": pa.nulls(2, pa.string()), "_partition": [0, 0], "_offset": [0, 1],
    }  # fmt: skip
    version = model()
    version.spec.task, version.spec.decide = "classification", lambda p: p >= 9.0
    found = hindsight(declaration, made, pa.table(lost).filter, {"one": version}, T + 9 * DAY)  # type: ignore[dict-item]
    assert (found["as served"]["recall"], found["as served"]["precision"]) == (0.5, 0.5)
    assert found["as served"]["cost"] == 1_000 * (10 + 5) / 3
    assert (found["one"]["recall"], found["one"]["cost"]) == (0.0, 1_000 * (100 + 10) / 3)
    assert set(found["one"]) == set(found["as served"])
