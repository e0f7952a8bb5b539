"""Every command has help, tells an error in one line with exit code 1, and wrong usage with 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app, main

INVENTORY = Path(__file__).parents[2] / "examples" / "inventory"
COMMANDS = [
    ["check"], ["up"], ["run"], ["status"], ["backfill"], ["produce"], ["replay"], ["train"], ["compare"],
    ["ledger"], ["deadletters", "list"], ["deadletters", "replay"],
    ["stack", "install"], ["stack", "up"], ["stack", "down"], ["stack", "status"], ["stack", "doctor"],
]  # fmt: skip
README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_stands_in_the_readme(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert shown.output.count("\n") > 5
    assert f"headrace {command[0]}" in README.read_text()


def test_the_list_of_commands_is_complete() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {group.name for group in app.registered_groups}
    assert names | groups == {command[0] for command in COMMANDS}


def test_check_tells_what_a_project_holds() -> None:
    shown = CliRunner().invoke(app, ["check", str(INVENTORY), "--json"])
    assert shown.exit_code == 0
    found = json.loads(shown.output)
    assert found["label"]["name"] == "units_next_7d"
    assert found["windows"]["history.units_7d"]["hop"] == "1d"
    assert set(found["sql"]) == {"duckdb", "flink", "python"}


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["check", "nowhere"], "project nowhere", "name a project file"),
        (["status", str(INVENTORY), "--profile", "moon"], "profile moon", "[profiles.moon]"),
        (["run", "cook", str(INVENTORY)], "role 'cook'", "monitor"),
        (["train", str(INVENTORY), "-p", "depth"], "parameter 'depth'", "max_depth=8"),
        (["train", str(INVENTORY), "--until", "yesterday"], "--until", "2017-07-01"),
        (["train", str(INVENTORY), "--until", "2017-07-01T00:00"], "--until", "Z"),
        (["produce", str(INVENTORY), "refund"], "stream 'refund'", "purchase"),
        (["produce", str(INVENTORY), "purchase", "none.parquet"], "file none.parquet", "exists"),
        (["deadletters", "replay", str(INVENTORY)], "deadletters replay", "--reason"),
        (["compare", str(INVENTORY), "--since", "2017-07-01"], "models of demand", "headrace train"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else None,
)
def test_an_error_names_the_object_and_the_remedy(
    arguments: list[str], subject: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["headrace", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("error: ")
    assert subject in told
    assert remedy in told
    assert "Traceback" not in told


def test_an_empty_project_has_a_status_and_a_ledger(tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["status", str(INVENTORY), "--home", str(tmp_path), "--json"])
    assert json.loads(shown.output)["model"] is None
    assert (
        json.loads(runner.invoke(app, ["ledger", str(INVENTORY), "--home", str(tmp_path), "--json"]).output) == []
    )
    assert "empty" in runner.invoke(app, ["ledger", str(INVENTORY), "--home", str(tmp_path)]).output
    assert (
        "no dead letters"
        in runner.invoke(app, ["deadletters", "list", str(INVENTORY), "--home", str(tmp_path)]).output
    )


def test_the_core_needs_no_extra() -> None:
    """Without the packages of the extras, a project is checked; what needs one says how to install it."""
    extras = ("httpx", "fastapi", "uvicorn", "kfp", "mlflow", "xgboost")
    hidden = f"import sys; sys.modules.update(dict.fromkeys({extras}));"
    program = f"{hidden} from headrace.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", str(INVENTORY)], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    asked = f"{hidden} from headrace.replay.askers import Asking; Asking('http://127.0.0.1:1', [], lambda: None)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False, text=True)
    assert "pip install 'headrace[serve]'" in done.stderr


def test_wrong_usage_is_exit_code_2() -> None:
    done = subprocess.run([sys.executable, "-m", "headrace", "check"], capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "PROJECT" in done.stderr
