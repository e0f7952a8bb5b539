"""What the serving tests share: both projects, a store with one known entity, models, a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from headrace.declare.declaration import Declaration, View
from headrace.declare.load import read_project
from headrace.features.sqlite import SqliteStore
from headrace.features.vector import Vectors
from headrace.models import artifact
from headrace.models.baseline import Baseline
from headrace.models.encoding import Encoding
from headrace.models.explanation import Explanation
from headrace.serving.app import create_app
from headrace.serving.predictor import Loaded, Predictor
from headrace.serving.segment import SegmentWriter
from headrace.serving.server import serve

ROOT = Path(__file__).parents[2]
NOW = 1_500_000_000_000
"""The tests' clock, ms: 2017-07-14T02:40:00Z."""


@dataclass
class FakeModel:
    """Predicts a constant; it keeps what it was asked."""

    output: float = 1.5
    sha256: str = "ab" * 32
    spec: Any = field(
        default_factory=lambda: SimpleNamespace(
            task="regression", metrics={"mae": 0.5}, baselines={}, prediction=None, threshold=None
        )
    )
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        self.asked.extend(rows)
        return np.full(len(rows), self.output)

    def explain(self, rows: Sequence[Mapping[str, Any]]) -> list[Explanation]:
        values = dict.fromkeys(rows[0], 0.0) if rows else {}
        return [Explanation(self.output - 1, {**values, next(iter(values)): 1.0}) for _ in rows]


def baselines(declaration: Declaration) -> dict[str, Baseline]:
    """A baseline for each feature, as if a few values had been seen."""
    made = {
        "str": lambda: Baseline.of_levels(["a", "b", None]),
        "bool": lambda: Baseline.of_bools([True, False, None]),
    }
    numbers = [float(value) for value in range(40)]
    return {f.name: made.get(f.type.kind, lambda: Baseline.of_numbers(numbers))() for f in declaration.features}


def saved(declaration: Any, baselines: Any, folder: Path, rounds: int = 5) -> Any:
    """A small XGBoost model of random examples, through disk."""
    xgboost = pytest.importorskip("xgboost")
    chance, rows = np.random.default_rng(3), 60
    columns = {
        "str": lambda: pa.array(chance.choice(["a", "b"], rows)),
        "bool": lambda: pa.array(chance.random(rows) < 0.5),
        "int": lambda: pa.array(chance.integers(0, 30, rows)),
        "float": lambda: pa.array(chance.random(rows)),
    }
    table = pa.table({feature.name: columns[feature.type.kind]() for feature in declaration.features})
    encoding = Encoding.frozen(declaration.features, table)
    target = chance.random(rows)
    if declaration.model.task == "classification":
        kind, target = xgboost.XGBClassifier, target < 0.5
    else:
        kind = xgboost.XGBRegressor
    model = kind(n_estimators=rounds, max_depth=3, enable_categorical=True).fit(encoding.frame(table), target)
    spec = artifact.Spec(
        project=declaration.name,
        declaration=declaration.digest,
        task=declaration.model.task,
        label=declaration.label.name,
        encoding=encoding,
        parameters={},
        seed=1,
        library=f"xgboost {xgboost.__version__}",
        trained=artifact.Span(0, 1, rows),
        holdout=artifact.Span(2, 3, 1),
        embargo=0,
        data={},
        baselines=baselines,
        prediction=next(iter(baselines.values())),
        metrics={"mae": 1.0},
    )
    artifact.save(folder, model, spec)
    return artifact.load(folder)


def tiles(views: Sequence[View], keys: Mapping[tuple[str, ...], str], at: int) -> pa.Table:
    """One tile in the hop of `at` for each view whose key columns are given; the epochs of all are listed."""
    rows: list[dict[str, Any]] = []
    for view in views:
        rows.append({"view": view.id, "key": None, "epoch": "e1"})
        if view.by in keys:
            slot = "text" if view.type.kind == "str" else "float" if view.type.kind == "float" else "int"
            if view.family == "moments":
                slot = "float"
            value: Any = {"text": "a", "float": 12.0, "int": 12}[slot]
            hop = at - at % view.hop
            row = {"view": view.id, "key": keys[view.by], "epoch": "e1", "hop": hop, "newest": at, "n": 3}
            ends = {"a_at": at, "b_at": at, "a_id": "x", "b_id": "x"} if view.family == "ends" else {}
            rows.append({**row, f"a_{slot}": value, f"b_{slot}": value, **ends})
    schema = pa.schema(
        [
            *[pa.field(name, pa.string()) for name in ("view", "key", "epoch")],
            *[pa.field(name, pa.int64()) for name in ("hop", "newest", "n", "a_int", "b_int", "a_at", "b_at")],
            *[pa.field(name, pa.float64()) for name in ("a_float", "b_float")],
            *[pa.field(name, pa.string()) for name in ("a_text", "b_text", "a_id", "b_id")],
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


@dataclass
class Serving:
    """A predictor of a project over a real store and a real prediction log."""

    declaration: Declaration
    folder: Path
    store: SqliteStore
    log: SegmentWriter
    predictor: Predictor
    known: dict[str, Any]
    """A row of an entity with a history, as a caller writes it."""
    unknown: dict[str, Any]

    def client(self, **options: Any) -> httpx.AsyncClient:
        app = create_app(self.declaration, self.predictor, **options)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://test")


def serving_of(project: str, folder: Path) -> Serving:
    if project == "demand":
        declaration = read_project(ROOT / "examples" / "inventory")
        known: dict[str, Any] = {"category": "SOUP", "store_id": 7}
        unknown: dict[str, Any] = {"category": "NOTHING", "store_id": -1}
        keys = {("category", "store_id"): "SOUP|7", ("store_id",): "7"}
    else:
        declaration = read_project(ROOT / "tests" / "projects" / "fraud.py")
        known = {
            "payment_id": "p1", "card": "c1", "merchant": "m1", "amount": 20.5, "paid_at": "2017-07-14T02:39:59.5Z",
        }  # fmt: skip
        unknown = {**known, "card": "stranger"}
        keys = {("card",): "c1"}
    store = SqliteStore(folder / "online.sqlite")
    store.apply(tiles(list(declaration.views.values()), keys, NOW - 1_000), {}, {("tiles", 0): 1}, None)
    log = SegmentWriter(folder / "segments")
    predictor = Predictor(declaration, Vectors(declaration, store, lambda: NOW), log, lambda: NOW)
    return Serving(declaration, folder / "segments", store, log, predictor, known, unknown)


@pytest.fixture(params=["demand", "fraud"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serving]:
    """Both projects, with a model."""
    made = serving_of(request.param, tmp_path)
    made.predictor.swap(Loaded("1", FakeModel()))
    yield made
    made.log.close()
    made.store.close()


@pytest.fixture
def demand(tmp_path: Path) -> Iterator[Serving]:
    made = serving_of("demand", tmp_path)
    yield made
    made.log.close()
    made.store.close()


@pytest.fixture
def fraud(tmp_path: Path) -> Iterator[Serving]:
    made = serving_of("fraud", tmp_path)
    yield made
    made.log.close()
    made.store.close()


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address of a server in a thread."""
    stop, ready, port = threading.Event(), threading.Event(), []

    def bound(number: int) -> None:
        port.append(number)
        ready.set()

    thread = threading.Thread(target=serve, args=(app, stop), kwargs={"port": 0, "bound": bound})
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def listen() -> Callable[[Any], Any]:
    return listening


@pytest.fixture
def fake_model() -> type[FakeModel]:
    return FakeModel


@pytest.fixture
def make_baselines() -> Callable[[Declaration], dict[str, Baseline]]:
    return baselines


@pytest.fixture
def save_model() -> Callable[..., Any]:
    return saved
