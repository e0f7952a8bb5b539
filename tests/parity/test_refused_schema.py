"""A change of the declaration that old records cannot be read with is refused before anything is deployed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from tests.parity.engines import HARD, on_flink
from tests.parity.inputs import REGIONS, SUPPLIERS, hard_input

from headrace.compile.load import load
from headrace.stack import Stack
from headrace.stream.flink.gateway import Gateway

pytestmark = [pytest.mark.timeout(300), pytest.mark.faults]


def test_an_incompatible_column_is_named_and_nothing_begins(stack: Stack, tmp_path: Path) -> None:
    name = f"hard{uuid4().hex[:8]}"
    text = HARD.read_text().replace('Project("hard"', f'Project("{name}"').replace("hard.sales", f"{name}.sales")
    (tmp_path / "suppliers.csv").write_text(SUPPLIERS)
    (tmp_path / "regions.csv").write_text(REGIONS)
    project = tmp_path / "project.py"
    project.write_text(text)
    declaration = load(project)
    records, _ = hard_input(declaration.streams["sale"].topic, 50)
    with on_flink(declaration, stack) as engine:
        engine.produce(records)
        engine.until(lambda: engine.judged() >= len(records))
    gateway = Gateway(stack.address("gateway"), stack.address("flink"))

    def jobs() -> list[tuple[str, str]]:
        return [(job.id, job.state) for job in gateway.jobs() if f" {name} " in job.name]

    before = jobs()
    assert len(before) == 2
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace" / "stack").symlink_to(stack.home)
    assert "seen_at: Null[Time]" in text
    project.write_text(text.replace("seen_at: Null[Time]", "seen_at: Null[Str]"))
    for command in (["check"], ["up"], ["run", "enrich"]):
        done = subprocess.run(
            [sys.executable, "-m", "headrace", *command, str(project), "--profile", "cluster"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert f"subject {name}.enriched.sale-value" in said
        assert "seen_at" in said
        assert "To mend it" in said
        assert jobs() == before
    gateway.close()
