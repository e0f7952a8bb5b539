"""Hot swap: the new model is proved before it answers; no request fails or sees two models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from headrace.errors import ModelError
from headrace.serving.app import create_app
from headrace.serving.predictor import Loaded
from headrace.serving.requests import Requests
from headrace.serving.swap import Watcher


@dataclass
class Registered:
    """A registry whose champion a test sets."""

    number: str | None = None
    models: dict[str, Any] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)

    def champion(self) -> str | None:
        return self.number

    def load(self, version: str) -> Any:
        self.loaded.append(version)
        model = self.models[version]
        if isinstance(model, Exception):
            raise model
        return model


def watcher_of(serving: Any, models: Registered) -> Watcher:
    return Watcher(serving.predictor, models, Requests.of(serving.declaration).rehearsal())


def test_a_champion_is_loaded_once(demand: Any, fake_model: Any) -> None:
    models = Registered()
    watcher = watcher_of(demand, models)
    assert not watcher.look()
    assert demand.predictor.loaded is None
    models.number, models.models["1"] = "1", fake_model(output=1.0)
    assert watcher.look()
    assert not watcher.look()
    assert models.loaded == ["1"]
    assert len(models.models["1"].asked) == 1  # it was rehearsed


def test_a_champion_that_is_not_fit_leaves_the_old_one(demand: Any, fake_model: Any) -> None:
    demand.predictor.swap(Loaded("1", fake_model(output=1.0)))
    models = Registered("2")
    watcher = watcher_of(demand, models)
    unfit = (
        ModelError("model 2", "it was changed", "restore it"),
        ValueError("feature names mismatch"),
        OSError("no such file"),
        fake_model(output=float("inf")),
    )
    for model in unfit:
        models.models["2"] = model
        assert not watcher.look()
        assert "the champion cannot be loaded" in (watcher.problem or "")
        assert demand.predictor.loaded.version == "1"
    assert demand.predictor.metrics.registry.get_sample_value("headrace_model_load_failures_total") == len(unfit)
    models.models["2"] = fake_model(output=2.0)
    assert watcher.look()
    assert watcher.problem is None
    assert demand.predictor.loaded.version == "2"


def test_swaps_under_load_fail_no_request(demand: Any, fake_model: Any, listen: Callable[[Any], Any]) -> None:
    """Each model predicts its own version: no answer may mix two. The load ends when all swaps are seen."""
    models = Registered("0", {str(number): fake_model(output=float(number)) for number in range(30)})
    watcher = watcher_of(demand, models)
    assert watcher.look()
    done = threading.Event()

    def load(address: str) -> list[Any]:
        answers = []
        with httpx.Client(base_url=address) as client:
            while not done.is_set():
                answer = client.post("/predict", json={"rows": [demand.known, demand.unknown]})
                answers.append((answer.status_code, answer.json()))
        return answers

    with listen(create_app(demand.declaration, demand.predictor)) as address, ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(load, address) for _ in range(3)]
        with httpx.Client(base_url=address) as client:
            for number in range(1, 30):
                models.number = str(number)
                assert watcher.look()
                answer = client.post("/predict", json=demand.known)
                assert answer.json()["model"] == str(number)
        done.set()
        answers = [answer for client in clients for answer in client.result()]
    assert answers
    for status, body in answers:
        assert status == 200
        assert {(one["model"], one["prediction"]) for one in body["predictions"]} == {
            (one["model"], float(one["model"])) for one in body["predictions"][:1]
        }


def test_a_watcher_thread_looks_at_once_and_stops(demand: Any, fake_model: Any) -> None:
    watcher = watcher_of(demand, Registered("1", {"1": fake_model()}))
    stop = threading.Event()
    stop.set()
    watcher.run(stop)
    assert demand.predictor.loaded.version == "1"
