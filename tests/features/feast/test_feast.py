"""Feast's plain SDK answers with Headrace's values: online as served, historically as trained on, at the same t."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import feast
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner as ClickRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.features.test_vector import PROJECTS, START, Past, pasts, requests, tiles, trained_at
from typer.testing import CliRunner

from headrace.cli import app
from headrace.compile.load import load
from headrace.declare.declaration import Declaration
from headrace.declare.topics import Topics
from headrace.errors import DeclarationError, FeatureError, SourceError
from headrace.feast import surroundings
from headrace.feast.repo import export, objects_text
from headrace.feast.slices import slices
from headrace.features.contract import OnlineStore
from headrace.features.vector import Vectors
from headrace.log.clock import WallClock
from headrace.profiles import Profile

DECLARATION = PROJECTS["both"]
PARTS = slices(DECLARATION)
FRAUD = Path(__file__).parents[2] / "projects" / "fraud.py"


@dataclass
class World:
    """A project's archive and online store, and Feast over both, at one instant."""

    store: Any
    online: OnlineStore
    declaration: Declaration
    t: int

    def asked(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self.store.get_online_features(
            features=list(names), entity_rows=list(rows), full_feature_names=True
        ).to_dict()
        return found

    def history(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        moment = pd.Timestamp(self.t, unit="ms", tz="UTC")
        entities = pd.DataFrame(list(rows)).astype(object).assign(event_timestamp=moment)
        job = self.store.get_historical_features(entities, features=list(names), full_feature_names=True)
        found: dict[str, list[Any]] = job.to_arrow().to_pydict()
        return found

    def close(self) -> None:
        asyncio.run(self.store.provider.online_store.close())
        self.online.close()

    def own(self, name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """What Headrace serves, by the names of Feast."""
        served = Vectors(slices(self.declaration)[name].declaration, self.online, lambda: self.t).serve(rows)
        assert {one.t for one in served} == {self.t}
        columns = slices(self.declaration)[name].columns
        return {f"{name}__{column}": [one.values[column] for one in served] for column in columns}


class Worlds:
    """Makes them: one registry for all."""

    def __init__(self, folder: Path, url: Callable[[], str], patch: pytest.MonkeyPatch) -> None:
        self._folder, self._url, self._patch = folder, url, patch
        self._now = 0
        self.opened: Any = None
        patch.setattr(surroundings, "_opened", lambda *_: self.opened)
        patch.setattr(WallClock, "now", lambda _: self._now)
        self.applied: set[str] = set()

    def at(self, declaration: Declaration, past: Past, t: int, home: Path) -> World:
        self._now = t
        profile = Profile("local", home, online=self._url())
        self.opened = surroundings.Surroundings(declaration, slices(declaration), profile)
        topics = Topics.of(declaration)
        archive = profile.open_archive(declaration)
        events, changes = past.events(declaration), past.changes(declaration)
        archive.append(topics.enriched("order"), events, {}, None)
        for title, rows in changes.items():
            archive.append(topics.table(title), rows, {}, None)
        online = profile.open_online()
        before = pc.field("_arrival") < t
        known = {title: rows.filter(before) for title, rows in changes.items()}
        online.apply(tiles(declaration, events.filter(before)), known, {}, None)
        return World(self.feast(declaration), online, declaration, t)

    def feast(self, declaration: Declaration) -> Any:
        place = {"project": "unused"}
        name = "p" + "".join(str(table.ttl) for table in declaration.tables.values())
        store = feast.FeatureStore(
            config=feast.RepoConfig(
                project=name,
                provider="local",
                registry=str(self._folder / f"{name}.db"),
                offline_store={"type": "headrace.feast.offline.HeadraceOfflineStore", **place},
                online_store={"type": "headrace.feast.online.HeadraceOnlineStore", **place},
                entity_key_serialization_version=3,
            )
        )
        if name not in self.applied:
            found: dict[str, Any] = {}
            exec(objects_text(declaration), found)
            kinds = (feast.Entity, feast.FeatureView, feast.FeatureService)
            store.apply([one for one in found.values() if isinstance(one, kinds)])
            self.applied.add(name)
        return store


@pytest.fixture(params=["sqlite", "redis"], scope="session")
def url(request: pytest.FixtureRequest) -> Callable[[], str]:
    if request.param == "sqlite":
        return lambda: "sqlite:online.sqlite"
    found: Callable[[], str] = request.getfixturevalue("redis_url")
    return found


@pytest.fixture
def worlds(tmp_path: Path, url: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Worlds:
    return Worlds(tmp_path, url, monkeypatch)


def refs(name: str, part: Any) -> list[str]:
    return [f"{name}:{column}" for column in part.columns]


def plain(values: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: values[name] for name in values if "__" in name}


def key_rows(name: str, asked: Sequence[Mapping[str, Any]], at: int) -> list[dict[str, Any]]:
    """Rows of the keys of a slice, drawn from requests; what a request does not know is made up."""
    known = {"category": ["x", "OTHER", "new"][at % 3]}
    rows = [{key: {**known, **row}[key] for key in PARTS[name].keys} for row in asked]
    return [{key: START + 1 if key == "at" else value for key, value in row.items()} for row in rows]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(past=pasts, asked=requests, at=st.integers(151, 320), order=st.randoms(use_true_random=False))
def test_feast_online_is_feast_historical_is_headrace(
    past: Past, asked: list[dict[str, Any]], at: int, order: Any, worlds: Worlds
) -> None:
    t = START + at
    asked = [*asked, *asked[:2]]
    order.shuffle(asked)
    with TemporaryDirectory() as home:
        world = worlds.at(DECLARATION, past, t, Path(home))
        for name, part in PARTS.items():
            rows = key_rows(name, asked, at)
            wanted = world.own(name, rows)
            online, history = world.asked(refs(name, part), rows), world.history(refs(name, part), rows)
            assert plain(online) == wanted, name
            assert plain(history) == wanted, name
            assert {key: online[key] for key in rows[0]} == {key: [row[key] for row in rows] for key in rows[0]}
        learnt = trained_at(DECLARATION, past, asked, t)
        rows = [{key: row[key] for key in PARTS["features"].keys} for row in asked]
        served = world.asked(refs("features", PARTS["features"]), rows)
        for feature in DECLARATION.features:
            called = f"features__{'feature_' if feature.name in PARTS['features'].keys else ''}{feature.name}"
            assert served[called] == [row[feature.name] for row in learnt]
        world.close()


def test_a_repeated_row_is_kept_and_every_row_has_its_own_instant(worlds: Worlds, tmp_path: Path) -> None:
    past = Past([("a", 0, 2, START, 0), ("a", 0, 3, START + 10, 5), ("b", 0, 7, START + 3, 0)], [], [], 0)
    world = worlds.at(DECLARATION, past, START + 40, tmp_path)
    rows = [("a", 12), ("a", 12), ("b", 4), ("a", 16), ("c", 16), ("a", 12), ("b", 3)]
    entities = pd.DataFrame(
        {
            "note": list("abcdefg"),
            "sku": [sku for sku, _ in rows],
            "event_timestamp": [pd.Timestamp(START + at, unit="ms", tz="UTC") for _, at in rows],
        },
        index=[9, 9, 1, 2, 3, 4, 5],
    )
    names = ["past_by_sku:units", "product:weight"]
    found = world.store.get_historical_features(entities, features=names).to_df()
    assert list(found["note"]) == list("abcdefg")
    assert list(found["units"]) == [2, 2, 7, 5, 0, 2, 0]
    assert list(found["event_timestamp"]) == list(entities["event_timestamp"])
    online = world.store.get_online_features(
        features=["past_by_sku:units"], entity_rows=[{"sku": sku} for sku in "abacb"]
    )
    assert online.to_dict() == {"sku": list("abacb"), "units": [5, 7, 5, 0, 7]}


def test_an_attribute_older_than_its_ttl_is_null_online_and_historically(worlds: Worlds, tmp_path: Path) -> None:
    declaration = PROJECTS["ttl"]
    past = Past([], [("a", "x", 2.0, 9, False, 0)], [], 0)
    for at, weight in ((50, 2.0), (51, None)):
        home = tmp_path / str(at)
        home.mkdir()
        world = worlds.at(declaration, past, START + at, home)
        for found in (world.asked, world.history):
            assert found(["product:weight"], [{"sku": "a"}])["product__weight"] == [weight]
        assert world.store.get_feature_view("product").ttl.total_seconds() == 0.04


def test_the_protobuf_says_what_the_values_say(worlds: Worlds, tmp_path: Path) -> None:
    past = Past([("a", 0, 2, START, 0)], [("a", "x", None, 30, False, 0)], [], 0)
    world = worlds.at(DECLARATION, past, START + 40, tmp_path)
    names = ["past_by_sku:units", "past_by_sku:when", "product:weight"]
    answer = world.store.get_online_features(features=names, entity_rows={"sku": ["a", "b"]})
    from feast.online_response import OnlineResponse

    assert OnlineResponse(answer.proto).to_dict(True) == answer.to_dict(True)
    assert answer.to_df()["units"].tolist() == [2, 0]
    assert answer.to_dict()["when"] == [START, None]
    by_name = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
    assert list(by_name["weight"].statuses) == [2, 1]
    assert by_name["units"].event_timestamps[0].ToMilliseconds() == START + 40


def test_a_read_by_entity_keys_is_the_same(worlds: Worlds, tmp_path: Path) -> None:
    """What Feast's own `get_online_features` calls, as for on-demand views."""
    from feast.infra.online_stores.online_store import OnlineStore as Generic

    past = Past([("a", 0, 2, START, 0), ("b", 0, 3, START, 0)], [], [], 0)
    world = worlds.at(DECLARATION, past, START + 40, tmp_path)
    own = world.store.provider.online_store
    given = (world.store.config, ["past_by_sku:units"], [{"sku": sku} for sku in "bab"])
    found = Generic.get_online_features(own, *given, world.store.registry, world.store.project)
    assert found.to_dict() == {"sku": list("bab"), "units": [3, 2, 3]}
    assert found.to_dict(True)["units__ts"] == [(START + 40) // 1000] * 3


def test_aliased_keys_and_views(worlds: Worlds, tmp_path: Path) -> None:
    past = Past([("a", 0, 2, START, 0), ("b", 0, 3, START, 0)], [], [], 0)
    world = worlds.at(DECLARATION, past, START + 40, tmp_path)
    view = world.store.get_feature_view("past_by_sku")[["units"]].with_name("one")
    other = world.store.get_feature_view("past_by_sku")[["units"]]
    other = other.with_name("other").with_join_key_map({"sku": "other_sku"})
    service = feast.FeatureService(name="pair", features=[view, other])
    world.store.apply([service])
    rows = [{"sku": "a", "other_sku": "b"}, {"sku": "b", "other_sku": "nobody"}]
    moment = pd.Timestamp(START + 40, unit="ms")
    entities = pd.DataFrame(rows).assign(event_timestamp=moment)
    job = world.store.get_historical_features(entities, features=service, full_feature_names=True)
    online = world.store.get_online_features(features=service, entity_rows=rows, full_feature_names=True).to_dict()
    for found in (job.to_arrow().to_pydict(), online):
        assert found["one__units"] == [2, 3]
        assert found["other__units"] == [3, 0]


def test_nothing_but_the_log_writes(worlds: Worlds, tmp_path: Path) -> None:
    past = Past([("a", 0, 2, START, 0)], [], [], 0)
    world = worlds.at(DECLARATION, past, START + 40, tmp_path)
    view = world.store.get_feature_view("past_by_sku")
    with pytest.raises(FeatureError, match="online role"):
        world.store.provider.online_store.online_write_batch(world.store.config, view, [], None)
    with pytest.raises(FeatureError, match="nothing is to be materialized"):
        world.store.provider.offline_store.pull_latest_from_table_or_query()
    with pytest.raises(FeatureError, match="DataFrame"):
        world.store.get_historical_features("SELECT 1", features=["past_by_sku:units"])
    world.store.teardown()
    assert world.online.read([], [("product", "a")], START + 40).rows[0] is not None


def test_a_project_that_went_on_is_refused(worlds: Worlds, tmp_path: Path) -> None:
    past = Past([("a", 0, 2, START, 0)], [], [], 0)
    world = worlds.at(DECLARATION, past, START + 40, tmp_path)
    other = PROJECTS["validity"]
    worlds.opened = replace(worlds.opened, declaration=other, slices=slices(other))
    with pytest.raises(FeatureError, match=r"ttl.*export feast"):
        world.asked(["product:weight"], [{"sku": "a"}])
    with pytest.raises(FeatureError, match=r"ttl.*export feast"):
        world.history(["product:weight"], [{"sku": "a"}])


def test_export_and_feast_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that a user types, over a project that was never in this process."""
    from feast.cli.cli import cli

    project, repo = tmp_path / "fraud.py", tmp_path / "repo"
    project.write_text(FRAUD.read_text())
    shown = CliRunner().invoke(app, ["export", "feast", str(project), str(repo), "--home", str(tmp_path / "home")])
    assert shown.exit_code == 0
    assert [Path(line).name for line in shown.output.split()] == ["feature_store.yaml", "features.py"]
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    applied = ClickRunner().invoke(cli, ["-c", str(repo), "apply"], catch_exceptions=False)
    assert applied.exit_code == 0, applied.output
    store = feast.FeatureStore(repo_path=str(repo))
    assert {view.name for view in store.list_feature_views()} == set(slices(load(project)))
    assert store.get_feature_service("fraud").feature_view_projections[0].name == "features"
    assert store.get_feature_view("recent_by_card").features[0].description == "count over 1h"
    declaration = load(project)
    profile = Profile("local", tmp_path / "home")
    profile.open_archive(declaration).append("fraud.enriched.payment", payments(declaration), {}, None)
    entities = pd.DataFrame({"card": ["a", "b"], "event_timestamp": [pd.Timestamp(START + 5, unit="ms")] * 2})
    found = store.get_historical_features(entities, features=["recent_by_card:spent_1d"]).to_df()
    assert found["spent_1d"].tolist() == [3.0, 0.0]
    sys.modules.pop("features", None)


def payments(declaration: Declaration) -> pa.Table:
    columns = {name: pa.nulls(2, kind.arrow) for name, kind in declaration.streams["payment"].enriched.items()}
    columns |= {"card": pa.array(["a", "a"]), "amount": pa.array([1.0, 2.0])}
    columns |= {"_time": pa.array([START, START + 1]), "_arrival": pa.array([START, START + 1])}
    system = {"_file": pa.nulls(2, pa.string()), "_partition": pa.array([0, 0]), "_offset": pa.array([0, 1])}
    return pa.table({**columns, **system})


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("mine = 1\n")
    with pytest.raises(SourceError, match="not of this command"):
        export(load(FRAUD), "local", None, tmp_path)
    assert not (tmp_path / "feature_store.yaml").exists()
    (tmp_path / "features.py").unlink()
    for _ in range(2):
        assert len(export(load(FRAUD), "local", None, tmp_path)) == 2


def test_two_slices_of_one_name_are_refused() -> None:
    table = replace(DECLARATION.tables["product"], title="features")
    with pytest.raises(DeclarationError, match="'features' in Feast"):
        slices(replace(DECLARATION, tables={"features": table}))


def test_feast_sends_no_telemetry() -> None:
    """It did, up to a version that this extra does not take."""
    assert find_spec("feast.usage") is None
