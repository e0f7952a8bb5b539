"""Requests that are predicted together are answered as if each were alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import FeatureError
from headrace.serving.predictor import Loaded
from headrace.serving.segment import read_frames, segments
from headrace.serving.together import ROWS, Together


def rows_of(serving: Any, cards: list[int]) -> list[dict[str, Any]]:
    row = {**serving.known, "paid_at": 1_499_999_999_000}
    return [{**row, "card": f"c{card}", "amount": 10.0 + card} for card in cards]


def bare(answers: list[Any]) -> list[Any]:
    return [(one.prediction, one.model, one.t, one.unknown) for one in answers]


def logged(serving: Any) -> list[Any]:
    return [row for path in segments(serving.folder) for row in read_frames(path, 0).rows]


async def at_once(serving: Any, requests: list[list[dict[str, Any]]]) -> list[Any]:
    together = Together(serving.predictor)
    asked = [together.predict(rows, None) for rows in requests]
    return await asyncio.gather(*asked, return_exceptions=True)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=8))
def test_a_batch_is_what_each_request_is_alone(
    fraud: Any, tmp_path: Path, make_baselines: Callable[[Any], Any], save_model: Callable[..., Any],
    requests: list[list[int]],
) -> None:  # fmt: skip
    if fraud.predictor.loaded is None:
        model = save_model(fraud.declaration, make_baselines(fraud.declaration), tmp_path / "model", 20)
        fraud.predictor.swap(Loaded("1", model))
    asked = [rows_of(fraud, cards) for cards in requests]
    before = len(logged(fraud))
    found = asyncio.run(at_once(fraud, asked))
    assert [bare(one) for one in found] == [bare(fraud.predictor.predict(rows)) for rows in asked]
    written = logged(fraud)[before:]
    half = len(written) // 2
    assert [row["_id"] for row in written[:half]] == [one.id for answers in found for one in answers]
    drop = {"_id", "_made"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in written[:half]] == [
        {k: v for k, v in row.items() if k not in drop} for row in written[half:]
    ]


def test_waiting_requests_are_one_read_and_one_write(fraud: Any, fake_model: Any, monkeypatch: Any) -> None:
    fraud.predictor.swap(Loaded("1", fake_model()))
    appended: list[int] = []
    append = fraud.log.append
    monkeypatch.setattr(fraud.log, "append", lambda rows: (appended.append(len(rows)), append(rows)))
    found = asyncio.run(at_once(fraud, [rows_of(fraud, [card]) for card in range(ROWS + 5)]))
    assert all(len(answers) == 1 for answers in found)
    assert appended == [ROWS, 5]
    appended.clear()
    asyncio.run(at_once(fraud, [rows_of(fraud, [1] * ROWS), rows_of(fraud, [1, 2])]))
    assert appended == [ROWS, 2]


def test_an_error_is_told_to_its_own_request_only(fraud: Any, fake_model: Any, monkeypatch: Any) -> None:
    fraud.predictor.swap(Loaded("1", fake_model()))
    serve = fraud.predictor._vectors.serve

    def fails_for_three(rows: Any) -> Any:
        if any(row["card"] == "c3" for row in rows):
            raise FeatureError("feature amount", "it overflows", "send less")
        return serve(rows)

    monkeypatch.setattr(fraud.predictor._vectors, "serve", fails_for_three)
    found = asyncio.run(at_once(fraud, [rows_of(fraud, [card]) for card in (1, 3, 2)]))
    assert isinstance(found[1], FeatureError)
    assert [len(found[0]), len(found[2])] == [1, 1]
    assert [row["card"] for row in logged(fraud)] == ["c1", "c2"]


def test_an_event_ahead_of_the_clock_moves_its_own_request_only(fraud: Any, fake_model: Any) -> None:
    fraud.predictor.swap(Loaded("1", fake_model()))
    early = 1_499_999_998_000
    fraud.predictor._now = lambda: early
    fraud.predictor._vectors._clock = lambda: early  # c1's newest event is a second later
    found = asyncio.run(at_once(fraud, [rows_of(fraud, [1]), rows_of(fraud, [2])]))
    assert found[0][0].t > early
    assert found[1][0].t == early


def test_a_defect_reaches_all_who_wait(fraud: Any, fake_model: Any, monkeypatch: Any) -> None:
    def broken(requests: Any) -> Any:
        raise RuntimeError("a defect")

    fraud.predictor.swap(Loaded("1", fake_model()))
    monkeypatch.setattr(fraud.predictor, "predict_each", broken)

    async def go() -> list[Any]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await at_once(fraud, [rows_of(fraud, [1]), rows_of(fraud, [2])])

    with_errors = asyncio.run(go())
    assert all(isinstance(one, RuntimeError) for one in with_errors)


def test_who_leaves_does_not_take_the_others_along(fraud: Any, fake_model: Any) -> None:
    fraud.predictor.swap(Loaded("1", fake_model()))

    async def go() -> list[Any]:
        together = Together(fraud.predictor)
        first = asyncio.ensure_future(together.predict(rows_of(fraud, [1]), None))
        second = asyncio.ensure_future(together.predict(rows_of(fraud, [2]), None))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert len(asyncio.run(go())) == 1
