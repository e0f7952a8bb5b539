"""Explanations over HTTP: beside an answer, and of a logged prediction wherever it lies by now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.archive.columns import schemas as archive_schemas
from headrace.archive.delta import Archive
from headrace.archive.sink import ArchiveSink
from headrace.declare.types import ColumnType
from headrace.errors import MissingExtra, ModelError
from headrace.log.consumer import Consumer
from headrace.log.sqlite import SqliteLog
from headrace.schema.folder import FolderSchemas
from headrace.serving.past import Past, in_topic_or_archive, on_disk
from headrace.serving.predictor import Loaded
from headrace.serving.requests import EXPLAINED, Refusal, Requests
from headrace.serving.segment import SegmentWriter, read_frames, segments
from headrace.serving.sender import Sender


def ask(serving: Any, method: str, path: str, past: Past | None = None, **options: Any) -> httpx.Response:
    async def one() -> httpx.Response:
        async with serving.client(past=past) as client:
            return await client.request(method, path, **options)

    return asyncio.run(one())


def sums(answer: dict[str, Any]) -> bool:
    explanation = answer["explanation"]
    total = explanation["base"] + sum(explanation["values"].values())
    return total == pytest.approx(answer["prediction"], rel=1e-9, abs=1e-9)


@pytest.fixture
def real(
    serving: Any, tmp_path: Path, make_baselines: Callable[[Any], Any], save_model: Callable[..., Any]
) -> tuple[Any, Callable[[str], Any]]:
    """A server with a model of trees as version 2, and what loads others by their version."""

    def load(version: str) -> Any:
        baselines = make_baselines(serving.declaration)
        return save_model(serving.declaration, baselines, tmp_path / f"model{version}", int(version) + 3)

    serving.predictor.swap(Loaded("2", load("2")))
    return serving, load


def test_all_forms_of_asking(real: tuple[Any, Any]) -> None:
    serving, _ = real
    names = {feature.name for feature in serving.declaration.features}
    for options in (
        {"json": {**serving.known, "explain": True}},
        {"json": serving.known, "params": {"explain": "true"}},
    ):
        answer = ask(serving, "POST", "/predict", **options).json()
        assert set(answer["explanation"]["values"]) == names
        assert sums(answer)
    for options in (
        {"json": {"rows": [serving.known, serving.unknown], "explain": True}},
        {"json": {"rows": [serving.known, serving.unknown]}, "params": {"explain": "true"}},
        {"json": {"rows": [serving.known, serving.unknown] * 20, "explain": True}},
    ):
        answers = ask(serving, "POST", "/predict", **options).json()["predictions"]
        assert all(sums(answer) for answer in answers)
        assert len(answers) == len(options["json"]["rows"])
    plain = ask(serving, "POST", "/predict", json={"rows": [serving.known], "explain": False}).json()
    assert "explanation" not in plain["predictions"][0]
    assert "explanation" not in ask(serving, "POST", "/predict", json={**serving.known, "explain": False}).json()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": lambda row: {**row, "explain": "yes"}}, 422),
        ({"json": lambda row: {"rows": [row], "explain": 1}}, 422),
        ({"json": lambda row: {"rows": [{**row, "explain": True}]}}, 422),
        ({"json": lambda row: {"rows": [row] * (EXPLAINED + 1), "explain": True}}, 413),
        ({"json": lambda row: {"rows": [row] * (EXPLAINED + 1)}, "params": {"explain": "true"}}, 413),
        ({"json": lambda row: row, "params": {"explain": "maybe"}}, 422),
    ],
)
def test_what_cannot_be_explained_is_refused_by_name(serving: Any, options: dict[str, Any], status: int) -> None:
    answer = ask(serving, "POST", "/predict", **{**options, "json": options["json"](serving.known)})
    assert answer.status_code == status
    assert answer.json()["error"]["field"].endswith(("explain", "rows"))


def test_a_column_of_that_name_stays_a_column() -> None:
    requests = Requests({"explain": ColumnType("bool")})
    assert requests.read(b'{"explain": true}').explain is False
    asked = requests.read(b'{"rows": [{"explain": false}], "explain": true}')
    assert (asked.explain, asked.rows) == (True, [{"explain": False}])
    with pytest.raises(Refusal):
        requests.read(b'{"rows": [{"explain": false}], "explain": null}')


def test_where_nothing_explains_the_answer_says_what_to_install(serving: Any, fake_model: Any) -> None:
    class Mute(fake_model):
        def explain(self, rows: Any) -> Any:
            raise MissingExtra("explanation", "shap", "explain")

    serving.predictor.rehearse(Loaded("2", Mute()), [dict.fromkeys(serving.declaration.request)])
    serving.predictor.swap(Loaded("2", Mute()))
    answer = ask(serving, "POST", "/predict", json={**serving.known, "explain": True})
    assert answer.status_code == 503
    assert answer.json()["error"]["remedy"] == "pip install 'headrace[explain]'"
    assert ask(serving, "POST", "/predict", json=serving.known).status_code == 200


def test_a_logged_prediction_is_explained_wherever_it_lies(real: tuple[Any, Any], tmp_path: Path) -> None:
    serving, load = real
    declaration = serving.declaration
    log, schemas = SqliteLog(tmp_path / "log"), FolderSchemas(tmp_path / "schemas")
    archive = Archive(tmp_path / "archive", archive_schemas(declaration))
    sender = Sender(declaration, log, schemas, serving.folder, partitions=3, now=lambda: 0)
    loaded: list[str] = []

    class Models:
        def load(self, version: str) -> Any:
            loaded.append(version)
            if version == "9":
                raise ModelError("model version 9", "the registry has no such version", "train it")
            return load(version)

    def past() -> Past:  # as after a restart
        return Past(
            declaration,
            (on_disk(serving.folder), in_topic_or_archive(declaration, log, schemas, archive)),
            Models(),
        )

    asked = ask(
        serving, "POST", "/predict", json={"rows": [serving.known, serving.unknown], "explain": True}
    ).json()
    serving.predictor.swap(Loaded("4", load("4")))
    for answer in asked["predictions"]:
        path = f"/predictions/{answer['id']}/explanation"
        before = ask(serving, "GET", path, past())
        assert (before.status_code, before.json()) == (200, answer)

    def gone() -> Path:
        """Ships all, and takes the segments away, as when the next ones are full."""
        while sender.ship():
            pass
        for segment in segments(serving.folder):
            segment.unlink()
        return serving.folder

    serving.log.close()
    gone()
    for answer in asked["predictions"]:
        assert ask(serving, "GET", f"/predictions/{answer['id']}/explanation", past()).json() == answer
    sink = ArchiveSink.of(declaration, schemas, archive)
    consumer = Consumer(log, sink.topics, sink)
    while consumer.step():
        pass
    sink.flush()
    kept = past()
    for answer in asked["predictions"] * 2:
        assert ask(serving, "GET", f"/predictions/{answer['id']}/explanation", kept).json() == answer
    assert loaded == ["2"] * 5  # once for each restart
    unknown = ask(serving, "GET", "/predictions/none/explanation", past())
    assert unknown.status_code == 404
    assert "none is known" in unknown.json()["error"]["cause"]
    assert ask(serving, "GET", "/predictions/none/explanation").status_code == 404
    sender.close()
    log.close()


def test_a_model_that_is_gone_is_named(real: tuple[Any, Any], tmp_path: Path) -> None:
    serving, _ = real

    class Gone:
        def load(self, version: str) -> Any:
            raise ModelError(f"model version {version}", "the registry has no such version", "train it")

    known = ask(serving, "POST", "/predict", json=serving.known).json()["id"]
    serving.predictor.swap(Loaded("5", serving.predictor.loaded.model))
    answer = ask(serving, "GET", f"/predictions/{known}/explanation", Past(serving.declaration, (on_disk(serving.folder),), Gone()))  # noqa: E501  # fmt: skip
    assert answer.status_code == 503
    assert answer.json()["error"]["subject"] == "model version 2"


def test_an_id_in_a_newer_or_an_older_segment_is_found(tmp_path: Path) -> None:
    for number in range(3):
        writer = SegmentWriter(tmp_path)
        writer.append([{"_id": f"{number}a", "_model": "1"}])
        writer.append([{"_id": f"{number}b", "_model": "1"}, {"_id": f"{number}c", "_model": '"0a"'}])
        writer.close()
    find = on_disk(tmp_path)
    for known in ("0a", "1c", "2b"):
        found = find(known)
        assert found is not None
        assert found["_id"] == known
    assert find("3a") is None
    assert len([row for path in segments(tmp_path) for row in read_frames(path, 0).rows]) == 9
