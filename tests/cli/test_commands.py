"""Every command has help, tells an error in one line with exit code 1, and wrong usage with 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from headrace.archive.sink import ArchiveSink
from headrace.cli import app, main
from headrace.compile.load import load
from headrace.declare.topics import topics_read
from headrace.errors import HeadraceError
from headrace.features.online import OnlineSink
from headrace.profiles import read_profile
from headrace.retraining.ledger import Entry
from headrace.roles.archive import catch_up
from headrace.roles.context import Context
from headrace.stream.deadletters import DeadLetter
from headrace.stream.enricher import Enricher
from headrace.stream.tables import Tables

INVENTORY = Path(__file__).parents[2] / "examples" / "inventory"
COMMANDS = [
    ["check"], ["up"], ["run"], ["status"], ["backfill"], ["produce"], ["replay"], ["train"], ["compare"],
    ["export", "flink"], ["export", "feast"], ["export", "kubeflow"], ["export", "prometheus"],
    ["runs"], ["report"], ["vacuum"], ["reproduce"], ["lineage"],
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
        (["report", str(INVENTORY)], "training runs of demand", "headrace train"),
        (["report", str(INVENTORY), "7"], "run 7 of demand", "headrace train"),
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
    asked = (
        f"{hidden} from headrace.replay.askers import Asking; Asking('http://127.0.0.1:1', [], lambda: None, None)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False, text=True)
    assert "pip install 'headrace[serve]'" in done.stderr


FRAUD = Path(__file__).parents[1] / "projects" / "fraud.py"
GOOD = {"payment_id": "p1", "card": "c1", "merchant": "m1", "amount": 5.0, "paid_at": "2024-01-01T00:00:00Z"}


def run(home: Path, *arguments: str, text: bytes | None = None) -> Any:
    return CliRunner().invoke(app, [*arguments, "--home", str(home)], input=text)


def told(found: Any) -> str:
    assert isinstance(found.exception, HeadraceError), found.exception
    return str(found.exception)


def enriched(home: Path, *rows: dict[str, Any], stream: str = "payment") -> None:
    """Sends events, and lets the enrich role judge them."""
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert run(home, "produce", str(FRAUD), stream, text=lines).exit_code == 0
    declaration = load(FRAUD)
    profile = read_profile(declaration, home=home)
    log, schemas = profile.open_log(), profile.open_schemas()
    (home / "merchants.csv").write_text("merchant,sector,risk\nm1,food,0.5\n")
    tables = Tables(declaration, log, schemas, root=home)
    tables.step()
    tables.close()
    enricher = Enricher(declaration, log, schemas)
    while enricher.step():
        pass
    enricher.close()
    log.close()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("e.parquet", b"PAR1 and no more", "e.parquet: it cannot be read as Parquet"),
        ("e.jsonl", b'{"payment_id": "\xff"}\n', "e.jsonl, line 1: it is not JSON in UTF-8"),
        ("e.jsonl", b"\n" + b"[" * 100_000, "e.jsonl, line 2: it is not JSON"),
        ("e.jsonl", b'{"amount": ' + b"9" * 5_000 + b"}", "e.jsonl, line 1: it is not JSON"),
        ("e.jsonl", b"[1]", "e.jsonl, line 1: it is not an object"),
        ("e.jsonl", json.dumps({**GOOD, "card": "\ud800"}).encode(), "column card, row 0: it is '\\ud800'"),
    ],
)
def test_a_file_that_cannot_be_sent_is_told(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in told(run(tmp_path, "produce", str(FRAUD), "payment", str(tmp_path / name)))
    if name == "e.jsonl":
        words = words.replace("e.jsonl", "standard input")
        assert words in told(run(tmp_path, "produce", str(FRAUD), "payment", text=content))


def test_a_parquet_file_that_breaks_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({name: [value] * 100 for name, value in GOOD.items()}), path, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + b"\xff" * 400 + whole[440:])
    assert "e.parquet: it cannot be read as Parquet" in told(
        run(tmp_path, "produce", str(FRAUD), "payment", str(path))
    )


def test_dead_letters_are_shown_as_they_are(tmp_path: Path) -> None:
    """A time that no calendar has stays the number that it is, and can be given back."""
    far = 253_402_300_800_000
    enriched(tmp_path, {**GOOD, "paid_at": far}, {**GOOD, "amount": -1.0})
    listed = run(tmp_path, "deadletters", "list", str(FRAUD))
    assert f"paid_at is {far} ms" in " ".join(listed.output.split())
    lines = [
        json.loads(line) for line in run(tmp_path, "deadletters", "list", str(FRAUD), "--json").output.splitlines()
    ]
    assert sorted(line["value"]["paid_at"] for line in lines if line["reason"] == "future") == [far]


def test_brackets_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[bold]x[/] and [/nothing] \\"
    letter = DeadLetter("shop.payments/0/0", text, text, 0, None)
    monkeypatch.setattr("headrace.cli.deadletters.dead_letters", lambda *_: [letter])
    monkeypatch.setenv("COLUMNS", "200")
    assert run(tmp_path, "deadletters", "list", str(FRAUD)).output.count(text) == 4 + 2  # of two streams
    entry = Entry(0, "alert", text, {"reason": text})
    monkeypatch.setattr("headrace.cli.ledger.Ledger.read", lambda _: iter([entry]))
    assert run(tmp_path, "ledger", str(FRAUD)).output.count(text) == 2
    assert f"last alert: 1970-01-01T00:00:00Z {text}" in run(tmp_path, "status", str(FRAUD)).output


def test_what_is_not_known_is_refused_before_anything_is_fed_back(tmp_path: Path) -> None:
    enriched(tmp_path, {**GOOD, "amount": -1.0})
    (line,) = run(tmp_path, "deadletters", "list", str(FRAUD), "--json").output.splitlines()
    row = json.loads(line)
    unknown = {**row, "id": "shop.payments/0/99"}
    (tmp_path / "repaired.jsonl").write_text(f"{line}\n\n{json.dumps(unknown)}\n")
    replay = ["deadletters", "replay", str(FRAUD), str(tmp_path / "repaired.jsonl")]
    before = json.loads(run(tmp_path, "status", str(FRAUD), "--json").output)["topics"]["shop.payments"]
    assert "dead letter shop.payments/0/99: there is none of this id" in told(run(tmp_path, *replay))
    assert json.loads(run(tmp_path, "status", str(FRAUD), "--json").output)["topics"]["shop.payments"] == before
    (tmp_path / "repaired.jsonl").write_text(f"{line}\n\n")
    assert "fed 1 records back" in run(tmp_path, *replay).output


def test_repairs_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b"\xff\n")
    assert "it cannot be read" in told(
        run(tmp_path, "deadletters", "replay", str(FRAUD), str(tmp_path / "r.jsonl"))
    )


def test_status_tells_a_lag_where_there_is_one(tmp_path: Path) -> None:
    """Each sink reads what the status counts for it; a role that reads no topic has no lag."""
    enriched(tmp_path, GOOD)
    run(tmp_path, "produce", str(FRAUD), "payment", text=json.dumps(GOOD).encode())
    roles = json.loads(run(tmp_path, "status", str(FRAUD), "--json").output)["roles"]
    assert (roles["enrich"]["lag"], roles["enrich"]["read"]) == (1, 1)
    assert roles["serve"] == roles["tables"] | {"mark": None} == {"lag": None, "read": None, "mark": None}
    declaration = load(FRAUD)
    profile = read_profile(declaration, home=tmp_path)
    schemas, read = profile.open_schemas(), topics_read(declaration)
    store = profile.open_online()
    assert OnlineSink(declaration, schemas, store).topics == read["online"]
    assert ArchiveSink.of(declaration, schemas, profile.open_archive(declaration)).topics == read["archive"]
    store.close()


def test_a_step_of_nothing_is_refused(tmp_path: Path) -> None:
    feed = tmp_path / "payments.parquet"
    pq.write_table(pa.table({name: [value] for name, value in GOOD.items() if name != "paid_at"} | {
        "paid_at": pa.array([1_704_067_200_000], pa.timestamp("ms", "UTC"))}), feed)  # fmt: skip
    span = ["--feed", f"payment={feed}", "--from", "2024-01-01", "--to", "2024-01-02"]
    assert "--step: it is 0" in told(run(tmp_path, "replay", str(FRAUD), *span, "--step", "0s"))
    at_once = tmp_path / "project.py"
    at_once.write_text(FRAUD.read_text().replace('lateness="5m"', 'lateness="0s"'))
    assert "its lateness is 0" in told(run(tmp_path, "replay", str(at_once), *span))


def test_wrong_usage_is_exit_code_2() -> None:
    done = subprocess.run([sys.executable, "-m", "headrace", "check"], capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "PROJECT" in done.stderr


def test_vacuum_leaves_what_was_in_use_lately(tmp_path: Path) -> None:
    enriched(tmp_path, GOOD)
    declaration = load(FRAUD)
    catch_up(Context.of("archive", declaration, read_profile(declaration, home=tmp_path)))
    ran = run(tmp_path, "vacuum", str(FRAUD), "--json")
    assert json.loads(ran.stdout) == {"files": 0, "pinned": 0, "topics": 4}
    assert run(tmp_path, "vacuum", str(FRAUD), "--hours", "0").exit_code == 2
