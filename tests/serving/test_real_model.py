"""With a model as the registry keeps it: what is answered is what the artifact gives for the features as served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.serving.predictor import Model
from headrace.serving.requests import Requests
from headrace.serving.segment import read_frames, segments
from headrace.serving.swap import Watcher


class One:
    def __init__(self, model: Model) -> None:
        self._model = model

    def champion(self) -> int:
        return 4

    def load(self, version: int) -> Model:
        return self._model


def test_the_answer_is_that_of_the_artifact(
    serving: Any, tmp_path: Path, make_baselines: Callable[[Any], Any], save_model: Callable[..., Any]
) -> None:
    model = save_model(serving.declaration, make_baselines(serving.declaration), tmp_path / "model")
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
