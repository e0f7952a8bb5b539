"""The fraud example: its world is the same on every run, and its steps choose, keep and report a threshold."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.compile.load import load as load_project
from headrace.errors import TrainingError
from headrace.models.artifact import load
from headrace.models.costs import Costs
from headrace.models.threshold import cheapest
from headrace.training import steps

EXAMPLE = Path(__file__).parents[2] / "examples" / "fraud"
WEEKS = 6


def module(name: str) -> ModuleType:
    """A file of the example. (Examples are no package.)"""
    spec = importlib.util.spec_from_file_location(f"fraud_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


generate, weeks = module("generate"), module("weeks")
UNTIL = generate.BEGIN + WEEKS * weeks.WEEK


def small(seed: int = 1) -> dict[str, pa.Table]:
    found: dict[str, pa.Table] = generate.world(seed, WEEKS, a_day=250, frauds=15)
    return found


@pytest.fixture(scope="module")
def world() -> dict[str, pa.Table]:
    return small()


@pytest.fixture(scope="module")
def filled(world: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its merchants in a file, and history in its home."""
    folder = tmp_path_factory.mktemp("example")
    text = (EXAMPLE / "project.py").read_text()
    (folder / "project.py").write_text(text.replace("postgresql:///#merchants", "data/merchants.csv"))
    generate.write(folder / "data", world, UNTIL)
    weeks.know_tables(folder / "project.py", folder / "home", generate.BEGIN)
    for stream in ("payment", "chargeback"):
        file = str(folder / "data" / f"{stream}s.history.parquet")
        command = [sys.executable, "-m", "headrace", "backfill", str(folder), stream, file]
        environment = {**os.environ, "HEADRACE_HOME": str(folder / "home")}
        subprocess.run([*command, "--until", generate.day(WEEKS * 7)], check=True, env=environment, timeout=200)
    return folder


def test_the_world_is_the_same_on_every_run(world: dict[str, pa.Table]) -> None:
    assert all(table.equals(world[name]) for name, table in small().items())
    assert not small(2)["payments"].equals(world["payments"])


def test_the_world_is_as_it_says(world: dict[str, pa.Table]) -> None:
    payments, chargebacks = world["payments"], world["chargebacks"]
    at = payments["paid_at"].cast(pa.int64()).to_numpy()
    assert (np.diff(at) >= 0).all()
    assert at[0] >= generate.BEGIN
    assert at[-1] < UNTIL
    ids = payments["payment_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert set(chargebacks["payment_id"].to_pylist()) < set(ids)
    paid = dict(zip(ids, at, strict=True))
    filed = chargebacks["filed_at"].cast(pa.int64()).to_numpy()
    assert all(one > paid[name] for name, one in zip(chargebacks["payment_id"].to_pylist(), filed, strict=True))
    night = (at - generate.BEGIN) % generate.DAY < 6 * generate.HOUR
    charged = np.isin(ids, chargebacks["payment_id"].to_pylist())
    changed = at >= generate.BEGIN + generate.PHASES["takeover"] * weeks.WEEK
    assert night[charged & changed].mean() > 0.6 > 0.4 > night[charged & ~changed].mean()


def test_the_declaration_compiles_for_every_target() -> None:
    found = load_project(EXAMPLE)
    assert found.tables["merchant"].source == "postgresql:///#merchants"
    sizes = {window.size for window in found.windows.values()}
    assert (min(sizes), max(sizes)) == (5 * 60_000, 30 * generate.DAY)


def test_a_threshold_is_chosen_on_what_does_not_judge(filled: Path, tmp_path: Path) -> None:
    declaration = load_project(filled)
    archive = str(filled / "home" / "archive")
    dataset, draft, sealed = (str(tmp_path / name) for name in ("dataset", "draft", "sealed"))
    steps.preprocess(str(declaration.path), archive, UNTIL, declaration.retrain.holdout, dataset)
    steps.train(str(declaration.path), dataset, {"trees": 30}, draft)
    registry, report = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "report.json"
    steps.evaluate(dataset, draft, registry, sealed, str(report))
    model, held = load(Path(sealed)), pq.read_table(Path(dataset) / steps.HOLDOUT)
    chosen = model.spec.threshold
    assert chosen is not None
    assert json.loads(report.read_text())["threshold"] == vars(chosen)
    times, label = held["t"].to_numpy(), held["label"].to_numpy()
    older = times <= chosen.last
    assert chosen.examples == older.sum()
    assert (chosen.first, chosen.last) == (times.min(), times[older].max())
    predicted, costs = model.predict_table(held), Costs.of(declaration.model.cost, held.filter(older))
    assert chosen.value == cheapest(label[older], predicted[older], costs)
    assert chosen.cost == costs.told(label[older], predicted[older] >= chosen.value)
    assert chosen.cost <= min(chosen.all_no, chosen.all_yes)
    assert model.spec.metrics is not None
    assert model.spec.metrics["examples"] == (~older).sum()
    assert model.spec.metrics["accuracy"] == pytest.approx(
        np.mean((predicted >= chosen.value)[~older] == label[~older])
    )
    assert model.spec.unseen_from == chosen.last + 1 > model.spec.holdout.first

    # Nothing to choose by: all that could is of one class.
    quiet = held.filter(~(older & (label == 1)))
    pq.write_table(quiet, Path(dataset) / steps.HOLDOUT)
    with pytest.raises(TrainingError, match="both classes"):
        steps.evaluate(dataset, draft, registry, sealed, str(report))


def test_weeks_compare_three_ways(filled: Path, tmp_path: Path) -> None:
    first = generate.BEGIN + 4 * weeks.WEEK
    (week,) = list(weeks.weekly(filled / "project.py", filled / "home", tmp_path, first, UNTIL))
    assert set(week.scores) == set(weeks.NAMES)
    assert week.scores["never"] == week.scores["weekly"] == week.scores["policy"]
    assert week.frauds > 50
    one: Any = week.scores["never"]
    assert one.average_precision > 5 * week.frauds / week.payments
    assert one.cost < week.all_no
    assert one.precision <= week.best
    assert weeks.means([week])["never"]["cost"] == one.cost
