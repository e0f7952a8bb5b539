"""The server while its Redis is away: it says so with 503, and answers again when it is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from tests.serving.conftest import NOW, FakeModel, tiles

from headrace.features.redis import RedisStore
from headrace.features.vector import Vectors
from headrace.serving.app import create_app
from headrace.serving.predictor import Loaded, Predictor


def test_503_until_redis_is_back(demand: Any, redis_server: Callable[..., Any], listen: Any) -> None:
    server = redis_server()
    store = RedisStore(f"redis:{server.address}/0")
    views = list(demand.declaration.views.values())
    keys = {("category", "store_id"): "SOUP|7", ("store_id",): "7"}
    store.apply(tiles(views, keys, NOW - 1_000), {}, {("tiles", 0): 1}, None)
    predictor = Predictor(
        demand.declaration, Vectors(demand.declaration, store, lambda: NOW), demand.log, lambda: NOW
    )
    predictor.swap(Loaded("1", FakeModel()))
    with (
        listen(create_app(demand.declaration, predictor)) as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        assert http.get("/readyz").status_code == 200
        before = http.post("/predict", json=demand.known)
        assert before.status_code == 200
        server.kill()
        for refused in (http.get("/readyz"), http.post("/predict", json=demand.known)):
            assert refused.status_code == 503
            assert "does not answer" in refused.text
        assert http.get("/healthz").status_code == 200
        server.start()
        assert http.get("/readyz").status_code == 200
        after = http.post("/predict", json=demand.known)
        assert (after.status_code, after.json()["prediction"]) == (200, before.json()["prediction"])
    store.close()
