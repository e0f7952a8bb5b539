"""The whole loop in real processes, replayed twice: the same results, however slow a role."""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.compute as pc
import pytest

from headrace.archive.delta import Archive
from headrace.compile.load import load

PROJECT = Path(__file__).parents[1] / "projects" / "fraud.py"


def module(name: str) -> ModuleType:
    """A file beside this one. (Tests are no package.)"""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


payments, processes = module("payments"), module("processes")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fraud project with hourly hops and a day for chargebacks, so that a replay has few steps."""
    folder = tmp_path_factory.mktemp("fraud")
    payments.write(folder)
    text = PROJECT.read_text()
    for old, new in (
        ("@fraud.windows(Payment)", '@fraud.windows(Payment, every="1h")'),
        ('time="paid_at", lateness="5m"', 'time="paid_at", lateness="1h"'),
        ('within="3d"', 'within="1d"'),
        (
            'fraud.monitor(auc=hr.falls(0.2, over="3d", minimum=50)',
            'fraud.monitor(auc=hr.falls(0.2, over="1d", minimum=50)',
        ),
        ('cooldown="3d", holdout="3d"', 'cooldown="1d", holdout="1d"'),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "project.py").write_text(text)
    return folder


def text_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def run(project: Path, home: Path, slowed: tuple[str, ...]) -> dict[str, Any]:
    """Backfills, trains, replays; what came out."""
    server = processes.free_server()
    common = ("--home", str(home))
    for stream in ("payment", "chargeback"):
        file = str(project / f"{stream}.history.parquet")
        processes.headrace(
            "backfill", str(project), stream, file, "--until", text_of(payments.CUT), *common, server=server
        )
    processes.headrace("train", str(project), "--until", text_of(payments.CUT), *common, server=server)
    feeds = [f"--feed={stream}={project / f'{stream}.parquet'}" for stream in ("payment", "chargeback")]
    with processes.Roles(project, home, server, slowed):
        processes.headrace(
            "replay", str(project), *feeds, "--from", text_of(payments.CUT), "--to", text_of(payments.END), *common,
            server=server,
        )  # fmt: skip
    ledger = json.loads(processes.headrace("ledger", str(project), "--json", *common, server=server))
    archive = Archive(home / "archive")
    predictions = archive.read("fraud.predictions").drop_columns(["_id", "_log_partition", "_log_offset"])
    records = archive.read("fraud.enriched.payment").drop_columns(["_log_partition", "_log_offset"])
    order = [("payment_id", "ascending"), ("_t", "ascending")]
    return {
        "ledger": ledger,
        "predictions": predictions.sort_by(order).to_pylist(),
        "records": records.sort_by([("payment_id", "ascending")]).num_rows,
        "made": records.filter(pc.field("_file").is_null()).num_rows,
    }


@pytest.mark.timeout(1500)
def test_a_replay_gives_the_same_however_slow_a_role_is(project: Path, tmp_path: Path) -> None:
    assert load(project).name == "fraud"
    first = run(project, tmp_path / "first", ())
    second = run(project, tmp_path / "second", ("tile", "archive"))

    assert len(first["predictions"]) > 500
    assert {entry["kind"] for entry in first["ledger"]} >= {"alert", "train"}
    assert first["ledger"] == second["ledger"]
    assert first["records"] == second["records"]
    assert len(first["predictions"]) == len(second["predictions"])
    for one, other in zip(first["predictions"], second["predictions"], strict=True):
        # Sums of floats are the same to 1e-9 and no further: their order is that of micro-batches.
        assert one == {name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
                       for name, value in other.items()}  # fmt: skip
    assert first["made"] < len(
        first["predictions"]
    )  # a payment that fails its check is scored, and counts in no window
