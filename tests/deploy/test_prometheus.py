"""The generated rules, by promtool and a real PromQL engine: the same verdict and the same PSI as in process."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from headrace.cli import app
from headrace.declare.declaration import Declaration
from headrace.declare.load import read_project
from headrace.deploy.monitoring import prometheus_files
from headrace.deploy.prometheus import rules
from headrace.models.baseline import Baseline
from headrace.profiles import Profile
from headrace.stack.packages import PROMETHEUS

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT / "examples" / "inventory", ROOT / "tests" / "projects" / "fraud.py"]
BINS = 12


@pytest.fixture(scope="module")
def promtool() -> str:
    return str(Path(PROMETHEUS.program()).with_name("promtool"))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.stem)
def test_exported_rules_pass_their_own_unit_tests(project: Path, promtool: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    declaration = read_project(project)
    result = CliRunner(env={"HEADRACE_HOME": str(home)}).invoke(
        app, ["export", "prometheus", str(project), str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "set metrics" in str(result.exception)

    chosen = Profile("local", home, metrics="127.0.0.1:9200", alerts="webhook:127.0.0.1:9300")
    files = prometheus_files(declaration, chosen, tmp_path / "out")
    name = declaration.name
    assert [file.name for file in files] == [
        f"{name}.rules.yml", f"{name}.rules_test.yml", f"{name}.targets.json", "alertmanager.yml",
    ]  # fmt: skip
    checked = subprocess.run([promtool, "check", "rules", files[0]], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = subprocess.run([promtool, "test", "rules", files[1]], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert len(yaml.safe_load(files[1].read_text())["tests"]) == 3 * len(declaration.monitors)
    assert {"serve", "monitor"} <= {target["labels"]["role"] for target in json.loads(files[2].read_text())}

    planted = files[0].read_text().replace(">= 100", ">= 0").replace(">= 50", ">= 0")
    files[0].write_text(planted)
    wrong = subprocess.run([promtool, "test", "rules", files[1]], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0  # the unit tests can fail
    assert "exp: nil" in wrong.stdout + wrong.stderr


def test_psi_is_that_of_the_baseline(promtool: str, tmp_path: Path) -> None:
    declaration = read_project(PROJECTS[1])
    pick = np.random.default_rng(3)
    watched = ["amount", "risk", "count_1h", "spent_1d", "max_7d", "spread_7d", "over_sector"]
    series, tests = [], []
    step = declaration.monitors["psi"].over // 1000 // 100
    for feature in watched:
        shares = pick.dirichlet(np.full(BINS, pick.choice([0.2, 1.0, 20.0])))
        rates = pick.integers(0, 5, BINS) * (pick.random(BINS) < 0.7)
        for place in range(BINS):
            own = f'project="fraud", model="1", feature="{feature}", bin="{place}"'
            series.append({"series": f"headrace_feature_bin_total{{{own}}}", "values": f"0+{rates[place]}x100"})
            series.append({"series": f"headrace_feature_share{{{own}}}", "values": f"{float(shares[place])!r}x100"})
        expected = Baseline(tuple(range(BINS - 2)), None, tuple(map(float, shares))).psi(rates * 100)
        where = f'{{project="fraud", model="1", feature="{feature}"}}'
        close = f"abs(headrace:psi{where} - {expected!r}) < bool 1e-9"
        samples = [{"labels": where, "value": 1}]
        tests.append({"expr": close, "eval_time": f"{100 * step}s", "exp_samples": samples})
    _rules(declaration, tmp_path)
    test = {"interval": f"{step}s", "input_series": series, "promql_expr_test": tests}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": f"{100 * step}s", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(whole))
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _rules(declaration: Declaration, folder: Path) -> None:
    """The recordings alone, evaluated as rarely as a test says."""
    group = {**rules(declaration)["groups"][0]}
    del group["interval"]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
