"""With a model as the registry keeps it: what is answered is what the artifact gives for the features as served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.models import artifact
from headrace.models.encoding import Encoding
from headrace.serving.predictor import Model
from headrace.serving.requests import Requests
from headrace.serving.segment import read_frames, segments
from headrace.serving.swap import Watcher


def saved(declaration: Any, baselines: Any, folder: Path) -> Model:
    """A small XGBoost model of random examples, through disk."""
    xgboost = pytest.importorskip("xgboost")
    chance, rows = np.random.default_rng(3), 60
    columns = {
        "str": lambda: pa.array(chance.choice(["a", "b"], rows)),
        "bool": lambda: pa.array(chance.random(rows) < 0.5),
        "int": lambda: pa.array(chance.integers(0, 30, rows)),
        "float": lambda: pa.array(chance.random(rows)),
    }
    table = pa.table({feature.name: columns[feature.type.kind]() for feature in declaration.features})
    encoding = Encoding.frozen(declaration.features, table)
    target = chance.random(rows)
    if declaration.model.task == "classification":
        kind, target = xgboost.XGBClassifier, target < 0.5
    else:
        kind = xgboost.XGBRegressor
    model = kind(n_estimators=5, max_depth=3, enable_categorical=True).fit(encoding.frame(table), target)
    spec = artifact.Spec(
        project=declaration.name,
        declaration=declaration.digest,
        task=declaration.model.task,
        label=declaration.label.name,
        encoding=encoding,
        parameters={},
        seed=1,
        library=f"xgboost {xgboost.__version__}",
        trained=artifact.Span(0, 1, rows),
        holdout=artifact.Span(2, 3, 1),
        embargo=0,
        data={},
        baselines=baselines,
        prediction=next(iter(baselines.values())),
        metrics={"mae": 1.0},
    )
    artifact.save(folder, model, spec)
    return artifact.load(folder)


class One:
    def __init__(self, model: Model) -> None:
        self._model = model

    def champion(self) -> int:
        return 4

    def load(self, version: int) -> Model:
        return self._model


def test_the_answer_is_that_of_the_artifact(
    serving: Any, tmp_path: Path, make_baselines: Callable[[Any], Any]
) -> None:
    model = saved(serving.declaration, make_baselines(serving.declaration), tmp_path / "model")
    watcher = Watcher(serving.predictor, One(model), Requests.of(serving.declaration).rehearsal())
    assert watcher.look(), watcher.problem

    async def ask() -> tuple[Any, Any, str]:
        async with serving.client() as client:
            answer = await client.post("/predict", json={"rows": [serving.known, serving.unknown]})
            return answer.json(), (await client.get("/model")).json(), (await client.get("/metrics")).text

    answer, described, metrics = asyncio.run(ask())
    assert described["sha256"] == model.sha256
    assert described["metrics"] == {"mae": 1.0}
    [path] = segments(serving.folder)
    logged = read_frames(path, 0).rows
    served = [
        {feature.name: row[f"feature__{feature.name}"] for feature in serving.declaration.features}
        for row in logged
    ]
    assert [one["prediction"] for one in answer["predictions"]] == model.predict(served).tolist()
    assert {one["model"] for one in answer["predictions"]} == {"4"}
    assert 'headrace_predictions_total{model="4"} 2.0' in metrics
