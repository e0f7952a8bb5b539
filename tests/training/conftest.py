"""Archives of both projects, with generated records whose labels can be learned."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.archive.columns import schemas
from headrace.archive.delta import Archive
from headrace.declare.declaration import Declaration
from headrace.declare.duration import DAY, HOUR
from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.models.registry import Registry

ROOT = Path(__file__).parents[2]
START = 1_483_228_800_000  # 2017-01-01 UTC, a Sunday


@dataclass(frozen=True)
class Filled:
    """A project, and the home of an archive that is filled up to `until` (ms)."""

    declaration: Declaration
    home: Path
    until: int


def _put(archive: Archive, declaration: Declaration, topic: str, columns: Mapping[str, Any]) -> None:
    schema = schemas(declaration)[topic]
    size = len(next(iter(columns.values())))
    given = {"_file": [None] * size, "_partition": [0] * size, "_offset": np.arange(size)} | dict(columns)
    given |= {"_log_partition": [0] * size, "_log_offset": np.arange(size)}
    arrays = [pa.array(given[field.name]).cast(field.type) for field in schema]
    archive.append(topic, pa.table(arrays, schema=schema), {(topic, 0): size}, mark=None)


def _changes(archive: Archive, declaration: Declaration, table: str, key: str, columns: Mapping[str, Any]) -> None:
    size = len(columns[key])
    system = {"_deleted": [False] * size, "_arrival": [START] * size, "_valid": [START] * size}
    given = {**columns, **system, "_key": [str(value) for value in columns[key]]}
    _put(archive, declaration, Topics.of(declaration).table(table), given)


@pytest.fixture(scope="session")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A year's first 26 weeks of three categories in three stores; demand depends on the category and the past."""
    home = tmp_path_factory.mktemp("inventory")
    declaration = read_project(ROOT / "examples" / "inventory")
    archive = Archive(home / "archive")
    random = np.random.default_rng(1)
    days, size = 182, 6000
    times = np.sort(START + random.integers(0, days * DAY, size))
    kind, store = random.integers(0, 3, size), random.integers(0, 3, size)
    units = 1 + random.poisson(1 + 2 * kind * (1 + np.sin((times - START) / DAY / 9)))
    names, regions = np.array(["bread", "milk", "soap"]), np.array(["north", "south", "south"])
    _put(
        archive,
        declaration,
        Topics.of(declaration).enriched("purchase"),
        {
            "store_id": store,
            "product_id": kind,
            "household_id": random.integers(0, 50, size),
            "units": units,
            "price": 1.0 + kind,
            "sold_at": times,
            "category": names[kind],
            "region": regions[store],
            "revenue": units * (1.0 + kind),
            "_time": times,
            "_arrival": times + 1000,
        },
    )
    _changes(archive, declaration, "store", "store_id", {"store_id": [0, 1, 2], "region": list(regions)})
    suppliers = {"category": list(names), "supplier": ["a", "b", "c"], "lead_days": [1, 2, 9]}
    _changes(archive, declaration, "supplier", "category", suppliers)
    _changes(archive, declaration, "product", "product_id", {
        "product_id": [0, 1, 2], "category": list(names), "department": ["x", "x", "y"],
    })  # fmt: skip
    return Filled(declaration, home, START + days * DAY)


@pytest.fixture(scope="session")
def fraud(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Three weeks of payments; large ones are charged back a day later."""
    home = tmp_path_factory.mktemp("fraud")
    declaration = read_project(ROOT / "tests" / "projects" / "fraud.py")
    archive = Archive(home / "archive")
    random = np.random.default_rng(2)
    days, size = 21, 2500
    times = np.sort(START + random.integers(0, days * DAY, size))
    amount = np.round(random.lognormal(3, 1, size), 2)
    merchant = random.integers(0, 3, size)
    names, sectors = np.array(["ace", "bit", "cup"]), np.array(["toys", "toys", "food"])
    numbers = np.array([f"p{number}" for number in range(size)])
    _put(
        archive,
        declaration,
        Topics.of(declaration).enriched("payment"),
        {
            "payment_id": numbers,
            "card": [f"c{number}" for number in random.integers(0, 60, size)],
            "merchant": names[merchant],
            "amount": amount,
            "paid_at": times,
            "sector": sectors[merchant],
            "_time": times,
            "_arrival": times + 50,
        },
    )
    bad = random.random(size) < np.where(amount > 50, 0.6, 0.02)
    filed = times[bad] + random.integers(HOUR, DAY, bad.sum())
    order = np.argsort(filed)
    _put(
        archive,
        declaration,
        Topics.of(declaration).enriched("chargeback"),
        {
            "payment_id": numbers[bad][order],
            "lost": amount[bad][order],
            "filed_at": filed[order],
            "_time": filed[order],
            "_arrival": filed[order] + 50,
        },
    )
    _changes(archive, declaration, "merchant", "merchant", {
        "merchant": list(names), "sector": list(sectors), "risk": [0.1, 0.2, 0.3],
    })  # fmt: skip
    return Filled(declaration, home, START + days * DAY)


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without a model: its migrations take seconds, so they run once for all tests."""
    home = tmp_path_factory.mktemp("registry")
    Registry(f"sqlite:///{home}/mlflow.db", "template").record({}, {}, {})
    return home / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path, empty_registry: Path) -> Path:
    """A home of its own whose registry is there, and empty."""
    (tmp_path / "models").mkdir()
    shutil.copyfile(empty_registry, tmp_path / "models" / "mlflow.db")
    return tmp_path
