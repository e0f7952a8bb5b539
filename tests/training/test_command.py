"""`headrace train`: what it trains on is in the archive, and what it prints is as the steps told it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.profiles import Profile
from headrace.stream.producer import Producer
from headrace.training import local

SHOP = Path(__file__).parents[1] / "projects" / "shop.py"
T = 17_360 * DAY  # 2017-07-13


@pytest.mark.parametrize(
    ("options", "until"), [([], T), (["--until", "2020-01-01"], T), (["--until", "2017-07-12"], T - DAY)]
)
def test_it_trains_up_to_what_the_archive_has(
    options: list[str], until: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sale that nobody has enriched yet arrived at T."""
    declaration, profile = read_project(SHOP), Profile("local", tmp_path)
    producer = Producer(profile.open_log(), profile.open_schemas(), declaration.streams["sale"])
    producer.send_rows([{"sku": "a", "units": 1, "sold_at": T}], arrivals=[T])
    asked = []

    def run(declaration: Any, profile: Any, until: int, parameters: Any, progress: Callable[[str], None]) -> Any:
        asked.append(until)
        progress("train: on list[int] [/bold]")
        return SimpleNamespace(version=1, sha256="0" * 64, report="report.html")

    monkeypatch.setattr(local, "run", run)
    command = ["train", str(SHOP), "--home", str(tmp_path), *options]
    shown = CliRunner().invoke(app, command, catch_exceptions=False)
    assert asked == [until]
    assert "train: on list[int] [/bold]" in shown.output
    assert ("before 2017-07-13 00:00 UTC" in shown.output) == (until == T)
