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
