"""Under replay a request that is asked again is answered again, and logged once."""

from __future__ import annotations

from typing import Any

from headrace.features.vector import Vectors
from headrace.serving.once import Once
from headrace.serving.predictor import Loaded, Predictor, named_ids
from headrace.serving.segment import SegmentWriter, read_frames, segments


def logged(serving: Any) -> list[Any]:
    return [row["_id"] for segment in segments(serving.folder) for row in read_frames(segment, 0).rows]


def predictor(serving: Any, model: Any, now: int) -> Predictor:
    """As of a process that has just begun."""
    writer = SegmentWriter(serving.folder)
    made = Predictor(
        serving.declaration, Vectors(serving.declaration, serving.store, lambda: now), Once(writer, serving.folder),
        lambda: now, ids=named_ids,
    )  # fmt: skip
    made.swap(Loaded("1", model))
    return made


def test_what_is_asked_again_is_logged_once_also_by_another_process(serving: Any, fake_model: Any) -> None:
    rows, now = [serving.known, serving.unknown, serving.known], 1_600_000_000_000
    if "paid_at" in serving.known:
        rows = [{**row, "paid_at": now - 1_000} for row in rows]
    first = predictor(serving, fake_model(), now)
    ids = [answer.id for answer in first.predict(rows, "10/0")]
    assert len(set(ids)) == 3
    assert [answer.id for answer in first.predict(rows, "10/0")] == ids
    other = predictor(serving, fake_model(), now)
    assert [answer.id for answer in other.predict(rows, "10/0")] == ids
    assert logged(serving) == ids
    more = [answer.id for answer in other.predict(rows, "10/3")]
    assert not set(more) & set(ids)
    unnamed = [other.predict(rows)[0].id for _ in range(2)]
    assert len(set(unnamed)) == 2
    assert len(logged(serving)) == 12


def test_another_step_is_logged_though_its_requests_have_the_same_names(demand: Any, fake_model: Any) -> None:
    for now in (1_600_000_000_000, 1_600_000_001_000):
        predictor(demand, fake_model(), now).predict([demand.known], "10/0")
    assert len(logged(demand)) == 2
