"""The application over both projects, with a real online store and a real prediction log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from headrace.errors import LogError, ServingError
from headrace.serving.predictor import Loaded
from headrace.serving.requests import BYTES
from headrace.serving.segment import read_frames, segments

JSON = {"content-type": "application/json"}


def ask(serving: Any, method: str, path: str, app: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
    async def one() -> httpx.Response:
        async with serving.client(**(app or {})) as client:
            return await client.request(method, path, **options)

    return asyncio.run(one())


def logged(serving: Any) -> list[Any]:
    return [row for path in segments(serving.folder) for row in read_frames(path, 0).rows]


def test_one_row(serving: Any) -> None:
    answer = ask(serving, "POST", "/predict", json=serving.known)
    assert answer.status_code == 200
    body = answer.json()
    assert body == {"id": body["id"], "prediction": 1.5, "model": "1", "t": body["t"], "unknown": False}
    [row] = logged(serving)
    assert (row["_id"], row["_t"], row["_model"], row["_prediction"]) == (body["id"], body["t"], "1", 1.5)
    served = serving.predictor.loaded.model.asked[0]
    assert {name.removeprefix("feature__"): v for name, v in row.items() if name.startswith("feature__")} == served
    assert set(serving.declaration.request) <= set(row)


def test_a_model_with_a_threshold_decides(serving: Any) -> None:
    model = serving.predictor.loaded.model
    for value, decision in ((1.5, True), (1.6, False)):
        model.spec.threshold = SimpleNamespace(value=value)
        body = ask(serving, "POST", "/predict", json=serving.known).json()
        assert (body["prediction"], body["decision"]) == (1.5, decision)
        assert logged(serving)[-1]["_decision"] is decision
        assert ask(serving, "GET", "/model").json()["threshold"] == value


def test_many_rows_keep_their_order_and_have_ids_of_their_own(serving: Any) -> None:
    rows = [serving.known, serving.unknown] * 500
    answer = ask(serving, "POST", "/predict", json={"rows": rows})
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert [one["unknown"] for one in predictions] == [False, True] * 500
    assert len({one["id"] for one in predictions}) == 1_000
    assert [row["_id"] for row in logged(serving)] == [one["id"] for one in predictions]


def test_an_unknown_entity_is_answered_and_says_so(serving: Any) -> None:
    body = ask(serving, "POST", "/predict", json=serving.unknown).json()
    assert body["unknown"] is True
    assert logged(serving)[0]["_unknown"] is True


def test_a_wrong_field_is_named_in_the_answer(serving: Any) -> None:
    name = next(iter(serving.known))
    answer = ask(serving, "POST", "/predict", json={"rows": [serving.known, {**serving.known, name: 1.5}]})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == f"rows[1].{name}"
    assert set(error) == {"subject", "cause", "remedy", "field"}
    assert logged(serving) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({**JSON, "content-length": str(BYTES + 1)}, 413),
        ({**JSON, "content-length": "9" * 30}, 413),
        (JSON, 200),
        ({"content-type": 'Application/JSON; charset="UTF-8"'}, 200),
    ],
)
def test_headers(demand: Any, fake_model: Any, headers: dict[str, str], status: int) -> None:
    demand.predictor.swap(Loaded("1", fake_model()))
    answer = ask(demand, "POST", "/predict", content=json.dumps(demand.known), headers=headers)
    assert answer.status_code == status
    assert status == 200 or set(answer.json()["error"]) >= {"subject", "cause", "remedy"}


def test_a_body_without_a_length_is_not_read_to_its_end(demand: Any) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            assert read < 1_000
            yield b" " * 100_000

    answer = ask(demand, "POST", "/predict", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert read < 20


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("GET", "/nothing", 404)])
def test_what_is_not_there(demand: Any, method: str, path: str, status: int) -> None:
    answer = ask(demand, method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"subject", "cause", "remedy"}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("project", ["demand", "fraud"])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_json_is_a_server_error(
    request: pytest.FixtureRequest, project: str, fake_model: Any, data: st.DataObject
) -> None:
    """Rows near to right ones, and rows with extreme values of the right types."""
    serving = request.getfixturevalue(project)
    if serving.predictor.loaded is None:
        serving.predictor.swap(Loaded("1", fake_model()))
    extreme = {
        "str": st.text(),
        "int": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "time": st.sampled_from(["1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"]),
    }
    right = {name: extreme[kind.kind] for name, kind in serving.declaration.request.items()}
    row = st.fixed_dictionaries({}, optional={name: value | ANY for name, value in right.items()})
    content = data.draw(st.fixed_dictionaries(right) | row | ANY | st.fixed_dictionaries({"rows": st.lists(row)}))
    answer = ask(serving, "POST", "/predict", content=json.dumps(content).encode(), headers=JSON)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500
    if answer.status_code == 200:
        assert "id" in answer.json() or answer.json()["predictions"]
    else:
        assert answer.json()["error"]["cause"]


def test_ready_only_with_a_model_and_a_store(demand: Any, fake_model: Any) -> None:
    assert ask(demand, "GET", "/healthz").json() == {"status": "alive"}
    answer = ask(demand, "GET", "/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "no model" in answer.json()["reasons"][0]
    assert ask(demand, "POST", "/predict", json=demand.known).status_code == 503
    assert ask(demand, "GET", "/model").status_code == 404

    demand.predictor.swap(Loaded("7", fake_model()))
    answer = ask(demand, "GET", "/readyz", {"warnings": [lambda: "old champion", lambda: None]})
    assert (answer.status_code, answer.json()) == (
        200, {"ready": True, "reasons": [], "warnings": ["old champion"]},
    )  # fmt: skip
    model = ask(demand, "GET", "/model").json()
    assert (model["version"], model["sha256"], model["metrics"]) == ("7", "ab" * 32, {"mae": 0.5})


def test_a_store_that_does_not_answer(demand: Any, fake_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    demand.predictor.swap(Loaded("1", fake_model()))

    def away(*_: Any) -> Any:
        raise LogError("online store", "it does not answer", "start it")

    monkeypatch.setattr(demand.store, "read", away)
    ready = ask(demand, "GET", "/readyz")
    assert ready.status_code == 503
    assert "does not answer" in ready.json()["reasons"][0]
    answer = ask(demand, "POST", "/predict", json=demand.known)
    assert (answer.status_code, answer.json()["error"]["remedy"]) == (503, "start it")
    assert ask(demand, "GET", "/healthz").status_code == 200


def test_what_cannot_be_logged_is_not_answered(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(rows: Any) -> None:
        raise ServingError("prediction log", "no space", "make room")

    monkeypatch.setattr(serving.log, "append", full)
    answer = ask(serving, "POST", "/predict", json=serving.known)
    assert answer.status_code == 503
    assert "prediction" not in answer.json()


def test_a_model_that_gives_no_number_is_not_answered(demand: Any, fake_model: Any) -> None:
    demand.predictor.swap(Loaded("1", fake_model(output=float("nan"))))
    assert ask(demand, "POST", "/predict", json=demand.known).status_code == 503
    assert logged(demand) == []


def metrics_of(serving: Any) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    text = ask(serving, "GET", "/metrics", {"unshipped": lambda: 12}).text
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_metrics_add_up(serving: Any, fake_model: Any, make_baselines: Callable[[Any], Any]) -> None:
    baselines = make_baselines(serving.declaration)
    for version in ("2", "3"):
        model = fake_model()
        model.spec.baselines, model.spec.prediction = baselines, next(iter(baselines.values()))
        serving.predictor.swap(Loaded(version, model))
        assert (
            ask(serving, "POST", "/predict", json={"rows": [serving.known, serving.unknown] * 3}).status_code == 200
        )
    assert ask(serving, "POST", "/predict", json={}).status_code == 422
    found = metrics_of(serving)
    assert found["headrace_requests_total"] == {(("status", "200"),): 2, (("status", "422"),): 1}
    assert found["headrace_request_seconds_count"] == {(): 3}
    assert found["headrace_predictions_total"] == {(("model", "1"),): 0, (("model", "2"),): 6, (("model", "3"),): 6}
    assert found["headrace_unknown_total"] == {(("model", "1"),): 0, (("model", "2"),): 3, (("model", "3"),): 3}
    assert found["headrace_model_info"] == {(("sha256", "ab" * 32), ("version", "3")): 1}
    assert found["headrace_unshipped_bytes"] == {(): 12}
    served = model.asked
    for name, baseline in baselines.items():
        labels = [(("bin", str(place)), ("feature", name), ("model", "3")) for place in range(baseline.bins)]
        counts = [found["headrace_feature_bin_total"][one] for one in labels]
        assert counts == baseline.counts([row[name] for row in served]).tolist()
        assert [found["headrace_feature_share"][one] for one in labels] == list(baseline.shares)
    bins = {
        labels: count
        for labels, count in found["headrace_prediction_bin_total"].items()
        if ("model", "3") in labels
    }
    assert sum(bins.values()) == 6


def test_openapi_describes_the_request(serving: Any) -> None:
    document = ask(serving, "GET", "/openapi.json").json()
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    row, rows = content["schema"]["oneOf"]
    assert set(row["required"]) == set(serving.known)
    assert rows["properties"]["rows"]["items"] == row
    for example in content["examples"].values():
        assert ask(serving, "POST", "/predict", json=example["value"]).status_code == 200
