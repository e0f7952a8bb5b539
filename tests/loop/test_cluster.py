"""The unchanged inventory project on both profiles, all roles as real processes: the same numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loop.deployment import PROJECT, Deployment, text_of, write_data
from tests.parity import results

from headrace.stack import Stack

SLACK = 1e-9
pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def deployments(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Deployment]]:
    stack.start("kafka", "registry", "flink", "postgres", "redis")
    folder = tmp_path_factory.mktemp("cluster")
    cut = write_data(folder)
    shutil.copy(PROJECT, folder / "inventory" / "project.py")
    (folder / ".headrace").mkdir()
    (folder / ".headrace" / "stack").symlink_to(stack.home)
    both = Deployment(folder, "local"), Deployment(folder, "cluster")
    try:
        for each in both:
            each.run("backfill", "purchase", str(folder / "history.parquet"), "--until", text_of(cut))
            if each.profile == "local":
                each.run("train", "--until", text_of(cut))
            else:  # the same model: only its features are the other profile's
                models = folder / "inventory" / ".headrace"
                shutil.copytree(models / "models", models / "cluster" / "models")
            each.up()
            each.run("produce", "purchase", str(folder / "live.parquet"))
            each.wait("the server is ready", lambda each=each: each.client.get("/readyz").status_code == 200)
            each.wait("all is read", lambda each=each: each.caught_up(4_000))
        yield both
    finally:
        for each in both:
            each.down()
            each.client.close()


def rows_of(each: Deployment, which: str) -> list[dict[str, Any]]:
    """Enriched records or dead letters, but for when they arrived: each profile had its own producer."""
    profile = each.opened()
    log, schemas = profile.open_log(), profile.open_schemas()
    if which == "enriched":
        found = results.enriched(log, schemas, each.declaration, "purchase")
    else:
        found = results.dead(log, each.declaration, "purchase")
    log.close()
    return [{name: value for name, value in row.items() if "arrival" not in name} for row in found]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", ["enriched", "dead"])
def test_records_are_equal(deployments: tuple[Deployment, Deployment], which: str) -> None:
    here, there = (
        sorted(rows_of(each, which), key=lambda row: json.dumps(row, default=str, sort_keys=True))
        for each in deployments
    )
    assert len(here) == len(there) > 300
    assert here == there


@pytest.mark.timeout(900)
def test_tiles_are_equal(deployments: tuple[Deployment, Deployment]) -> None:
    found = []
    for each in deployments:
        profile = each.opened()
        log, schemas = profile.open_log(), profile.open_schemas()
        found.append([results.merged(log, schemas, each.declaration, history=history) for history in (False, True)])
        log.close()
    for here, there in zip(*found, strict=True):
        assert set(here) == set(there)
        assert len(here) > 10
        different = {place: results.differences(here[place], there[place], SLACK) for place in here}
        assert {place: each for place, each in different.items() if each} == {}


@pytest.mark.timeout(900)
def test_features_and_predictions_are_equal(deployments: tuple[Deployment, Deployment]) -> None:
    asked = [each.ask() for each in deployments]
    assert not any(answer["unknown"] for answers in asked for answer in answers)
    for each in deployments:
        each.wait("predictions are archived", lambda each=each: len(served(each)) >= len(asked[0]))
    here, there = (
        [served(each)[answer["id"]] for answer in answers] for each, answers in zip(deployments, asked, strict=True)
    )
    for one, other in zip(here, there, strict=True):
        names = [name for name in one if name.startswith("feature__")] + ["category", "store_id"]
        assert len(names) > 10
        assert results.differences({n: one[n] for n in names}, {n: other[n] for n in names}, SLACK) == {}
        assert one["_prediction"] == pytest.approx(other["_prediction"], rel=1e-6)


def served(each: Deployment) -> dict[str, dict[str, Any]]:
    """Predictions as archived, by id."""
    archive = each.opened().open_archive(each.declaration)
    if "demand.predictions" not in archive.topics():
        return {}
    return {row["_id"]: row for row in archive.read("demand.predictions").to_pylist()}


@pytest.mark.timeout(900)
def test_down_and_up_goes_on_where_it_was(deployments: tuple[Deployment, Deployment]) -> None:
    _, there = deployments
    before = len(rows_of(there, "enriched")) + len(rows_of(there, "dead"))
    there.down()
    there.run("produce", "purchase", str(there.folder / "live.parquet"))
    there.up()
    there.wait("the server is ready again", lambda: there.client.get("/readyz").status_code == 200)
    there.wait("all is read again", lambda: there.caught_up(before + 4_000))
    assert len(rows_of(there, "enriched")) + len(rows_of(there, "dead")) == before + 4_000
