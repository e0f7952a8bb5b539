"""The monitor on a real log: predictions are judged when due and not before; drift names the feature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR
from headrace.declare.load import read_project
from headrace.declare.predictions import prediction_columns
from headrace.log.batches import Mark
from headrace.log.consumer import Consumer
from headrace.log.contract import Topic
from headrace.log.sqlite import SqliteLog
from headrace.models.baseline import Baseline
from headrace.monitoring.drift import drift, watched
from headrace.monitoring.monitor import Monitor
from headrace.monitoring.predictions import Predictions
from headrace.schema.avro import encode_block, nullable_schema
from headrace.schema.folder import FolderSchemas

T = 17_360 * DAY  # a Thursday, so a point of the grid
WEEK = 7 * DAY
PROJECT = Path(__file__).parents[2] / "examples" / "inventory"
STORES = 20


@pytest.fixture(scope="module")
def declaration() -> Declaration:
    return read_project(PROJECT)


def made(declaration: Declaration, t: int, prediction: float, units_7d: float = 1.0) -> pa.Table:
    """One prediction for each store at t."""
    columns: dict[str, Any] = {
        "_id": [f"{t}-{store}" for store in range(STORES)],
        "_t": [t] * STORES,
        "_made": [t] * STORES,
        "_model": ["1"] * STORES,
        "_prediction": [prediction] * STORES,
        "_unknown": [False] * STORES,
        "category": ["SOUP"] * STORES,
        "store_id": list(range(STORES)),
        "feature__units_7d": [units_7d] * STORES,
    }
    return pa.table(
        {
            name: pa.array(columns.get(name, [None] * STORES), kind.arrow)
            for name, kind in prediction_columns(declaration).items()
        }
    )


def sold(declaration: Declaration, at: int, arrival: int, units: int) -> pa.Table:
    """One purchase in each store."""
    stream = declaration.label_stream
    columns: dict[str, Any] = {
        "category": ["SOUP"] * STORES, "store_id": list(range(STORES)), "units": [units] * STORES,
    }  # fmt: skip
    kinds = {name: kind.arrow for name, kind in stream.enriched.items()}
    table = {name: pa.array(columns.get(name, [None] * STORES), kind) for name, kind in kinds.items()}
    table |= {"_time": pa.array([at] * STORES), "_arrival": pa.array([arrival] * STORES)}
    table |= {"_file": pa.nulls(STORES, pa.string()), "_partition": pa.array([0] * STORES)}
    return pa.table({**table, "_offset": pa.array(range(at // 1000, at // 1000 + STORES))})


@pytest.fixture
def monitor(declaration: Declaration, tmp_path: Path) -> Callable[..., Monitor]:
    """Makes a monitor of some predictions and records."""

    def make(predictions: list[pa.Table], records: list[pa.Table]) -> Monitor:
        log, schemas = SqliteLog(tmp_path / "log"), FolderSchemas(tmp_path / "schemas")
        log.create(Topic("demand.predictions", "serve", 1))
        schema = nullable_schema("demand.predictions", prediction_columns(declaration))
        known = schemas.register("demand.predictions-value", schema)
        writer = log.writer("serve")
        with writer.transaction() as transaction:
            for table in predictions:
                transaction.append("demand.predictions", 0, encode_block(table, known.id, T))
            transaction.append("demand.predictions", 0, Mark(T))
        sink = Predictions(declaration, schemas)
        consumer = Consumer(log, ["demand.predictions"], sink)
        while consumer.step():
            pass
        writer.close()
        log.close()
        spec = SimpleNamespace(
            task="regression", metrics={"mae": 2.0}, prediction=Baseline.of_numbers(np.linspace(0, 20, 500)),
            baselines={"units_7d": Baseline.of_numbers(np.linspace(0, 2, 500))},
        )  # fmt: skip
        everything = pa.concat_tables(records)

        def events(where: ds.Expression) -> pa.Table:
            return everything.filter(where)

        return Monitor(declaration, sink, events, lambda version: spec)  # type: ignore[arg-type,return-value]

    return make


def test_a_prediction_is_judged_when_its_label_is_final(
    declaration: Declaration, monitor: Callable[..., Monitor]
) -> None:
    inside = sold(declaration, T + DAY, T + DAY, 5)
    late = sold(
        declaration, T + WEEK - 1, T + WEEK + HOUR - 1, 2
    )  # just in time for the last instant of the window
    after = sold(declaration, T + WEEK, T + WEEK, 100)
    before = sold(declaration, T - DAY, T - DAY, 4)
    watching = monitor([made(declaration, T, 6.0)], [before, inside, late, after])
    due = T + WEEK + HOUR
    verdicts = {verdict.metric: verdict for verdict in watching.evaluate(due - 1, "1")}
    assert watching.judged.num_rows == 0
    assert verdicts["mae"].state == "no data"
    watching.evaluate(due, "1")
    assert watching.judged.num_rows == STORES
    assert set(watching.judged.column("label").to_pylist()) == {7.0}
    assert set(watching.judged.column("naive").to_pylist()) == {4.0}


def test_an_error_that_rose_is_an_alert_and_few_predictions_are_no_data(
    declaration: Declaration, monitor: Callable[..., Monitor]
) -> None:
    records = [sold(declaration, T + week * WEEK + DAY, T + week * WEEK + DAY, 5) for week in range(8)]
    predictions = [made(declaration, T - DAY + hour * HOUR, 9.0) for hour in range(6)]
    watching = monitor(predictions, records)
    verdicts = {v.metric: v for v in watching.evaluate(T + WEEK + DAY, "1")}
    assert verdicts["mae"].count == 6 * STORES
    assert verdicts["mae"].value == 4.0
    assert verdicts["mae"].state == "alert"
    assert {v.metric: v.state for v in watching.evaluate(T + WEEK + DAY, "2")}["mae"] == "no data"


def test_drift_names_the_feature(declaration: Declaration, monitor: Callable[..., Monitor]) -> None:
    predictions = [made(declaration, T - hour * HOUR, 10.0, units_7d=50.0) for hour in range(6)]
    watching = monitor(predictions, [sold(declaration, T, T, 1)])
    psi = {v.metric: v for v in watching.evaluate(T, "1")}["psi"]
    assert (psi.state, psi.count) == ("alert", 6 * STORES)
    assert psi.subject in ("units_7d", "prediction")


def test_what_reads_the_calendar_alone_is_not_watched(declaration: Declaration) -> None:
    names = watched(declaration)
    assert "month" not in names
    assert "units_7d" in names
    assert "category_x_region" in names


def test_no_drift_where_nothing_changed(declaration: Declaration) -> None:
    random = np.random.default_rng(1)
    values = random.normal(5, 2, 5_000)
    table = pa.concat_tables([made(declaration, T, 1.0) for _ in range(5_000 // STORES)])
    column = pa.array(random.permutation(values))
    table = table.set_column(table.column_names.index("feature__units_7d"), "feature__units_7d", column)
    spec = SimpleNamespace(baselines={"units_7d": Baseline.of_numbers(values)}, prediction=None)
    assert drift(declaration, spec, table) == pytest.approx({"units_7d": 0.0}, abs=1e-12)  # type: ignore[arg-type]
