"""From a prediction, a run or a model down to the data; and what became of the model, by the ledger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xgboost
from typer.testing import CliRunner

from headrace.cli import app
from headrace.declare.load import read_project
from headrace.declare.predictions import prediction_columns
from headrace.errors import ModelError
from headrace.lineage import Tracer
from headrace.log.contract import Topic
from headrace.models.artifact import Span, Spec, save
from headrace.models.encoding import Column, Encoding
from headrace.models.registry import Registry
from headrace.profiles import Profile
from headrace.retraining.ledger import Entry, Ledger
from headrace.roles import archive as archive_role
from headrace.roles.context import Context
from headrace.schema.avro import encode_block, nullable_schema

SHOP = Path(__file__).parent / "projects" / "shop.py"
T = 1_700_000_000_000


def entry(day: int, kind: Any, subject: str = "model", **detail: Any) -> Entry:
    return Entry(T + day * 86_400_000, kind, subject, {"reason": f"{kind} {day}", **detail})


LEDGER = [
    entry(0, "train"), entry(0, "promote", "version 1", champion=None, challenger=1),
    entry(1, "alert", "psi"), entry(2, "resolved", "psi"),
    entry(3, "alert", "mae"), entry(3, "train"), entry(3, "refuse", "version 2", champion=1, challenger=2),
    entry(9, "skip"), entry(9, "train"), entry(9, "promote", "version 3", champion=1, challenger=3),
]  # fmt: skip


class Shop:
    """A project with three models, two predictions, of which the archive has one, and a ledger."""

    def __init__(self, home: Path) -> None:
        self.declaration, self.home = read_project(SHOP), home
        self.profile = Profile("local", home)
        self.log, self.schemas = self.profile.open_log(), self.profile.open_schemas()
        registry = self.profile.open_registry(self.declaration)
        self.runs = [self._model(registry, depth) for depth in (1, 2, 3)]
        registry.promote(registry.version(1))
        registry.promote(registry.version(3))
        self._predict("p1", "1")
        archive_role.catch_up(Context.of("archive", self.declaration, self.profile))
        self._predict("p2", "3")
        ledger = Ledger(self.log, self.schemas, "shop.ledger")
        ledger.create()
        writer = self.log.writer("monitor")
        with writer.transaction() as transaction:
            ledger.append(transaction, LEDGER)
            transaction.commit({}, None)
        writer.close()

    def _model(self, registry: Registry, depth: int) -> str:
        span, encoding = Span(0, 1, 2), Encoding([Column("units", "float")])
        model = xgboost.XGBRegressor(n_estimators=1, max_depth=depth).fit([[1.0], [2.0]], [1.0, 2.0])
        spec = Spec("shop", "d", "regression", "l", encoding, {}, 7, "xgboost", span, span, 5, {}, {})
        save(self.home / f"model{depth}", model, spec)
        digest = self.declaration.digest if depth == 3 else "0" * 64
        tags = {"declaration": digest, "commit": "c0ffee", "data": json.dumps({"shop.enriched.sale": depth})}
        run = registry.record({"depth": depth}, {"mae": float(depth)}, tags)
        return registry.register(self.home / f"model{depth}", run, tags).run_id

    def _predict(self, name: str, model: str) -> None:
        columns = prediction_columns(self.declaration)
        given = {"_id": name, "_t": T, "_made": T, "_model": model, "_prediction": 2.5, "sku": "a"}
        table = pa.table({name: pa.array([given.get(name)], kind.arrow) for name, kind in columns.items()})
        self.log.create(Topic("shop.predictions", "serve", 1))
        known = self.schemas.register("shop.predictions-value", nullable_schema("shop.predictions", columns))
        writer = self.log.writer("serve")
        with writer.transaction() as transaction:
            transaction.append("shop.predictions", 0, encode_block(table, known.id, T))
            transaction.commit({}, None)
        writer.close()

    @property
    def tracer(self) -> Tracer:
        profile = self.profile
        archive, registry = profile.open_archive(self.declaration), profile.open_registry(self.declaration)
        return Tracer(self.declaration, self.log, self.schemas, archive, registry)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize(("name", "version"), [("p1", 1), ("p2", 3)])
def test_a_prediction_leads_to_its_data(shop: Shop, name: str, version: int) -> None:
    """Also one that is not in the archive yet."""
    found = shop.tracer.trace(name)
    assert found.prediction is not None
    assert found.model is not None
    assert found.run is not None
    assert (found.prediction.id, found.prediction.prediction, found.prediction.request) == (name, 2.5, {"sku": "a"})
    assert set(found.prediction.features) == {feature.name for feature in shop.declaration.features}
    assert (found.model.version, found.run.id) == (version, shop.runs[version - 1])
    assert found.run.metrics == {"mae": version}
    assert found.data == {"shop.enriched.sale": version}
    assert (found.present, found.commit) == (version == 3, "c0ffee")


def test_a_model_tells_what_became_of_it(shop: Shop) -> None:
    def history(subject: str) -> list[str]:
        model = shop.tracer.trace(subject).model
        assert model is not None
        return [f"{one.kind} {(one.at - T) // 86_400_000}" for one in model.history]

    assert history("1") == ["train 0", "promote 0", "promote 9"]
    assert history("model 2") == ["alert 3", "train 3", "refuse 3"]
    assert history("3") == ["alert 3", "train 9", "promote 9"]
    assert history(shop.runs[1]) == history("2")


def test_the_command_shows_a_tree_and_json(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    command = ["lineage", str(SHOP), "p2", "--home", str(shop.home)]
    shown = CliRunner().invoke(app, command).output
    words = ["prediction p2: 2.5", "model 3, champion", f"run {shop.runs[2]}", "mae: 3", "shop.enriched.sale: 3",
             "the present one, commit c0ffee"]  # fmt: skip
    assert [word for word in words if word not in shown] == []
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert found["run"]["parameters"] == {"depth": "3"}
    assert [one["kind"] for one in found["model"]["history"]] == ["alert", "train", "promote"]


def test_runs_are_listed_newest_first(shop: Shop) -> None:
    command = ["runs", str(SHOP), "--home", str(shop.home)]
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert [one["run"] for one in found] == shop.runs[::-1]
    assert [one["version"] for one in found] == [3, 2, 1]
    assert "mae 3" in CliRunner().invoke(app, command).output


def test_what_is_nothing_is_told(shop: Shop, tmp_path: Path) -> None:
    for subject in ("p9", "9"):
        with pytest.raises(ModelError, match=r"p9|version 9"):
            shop.tracer.trace(subject)
    shown = CliRunner().invoke(app, ["lineage", str(SHOP), "p9", "--home", str(tmp_path)])
    assert isinstance(shown.exception, ModelError)
    assert "no prediction, no run and no model" in str(shown.exception)
    shutil.rmtree(tmp_path)
