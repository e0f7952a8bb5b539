"""Fraud on one machine: merchants in PostgreSQL, weeks of history under a changing adversary, then live hours.

Steps that begin with `$` are `headrace` commands that you can run yourself; this file only runs them in order. All
data is GENERATED (generate.py): the numbers say what the system does, and nothing of real fraud.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

from generate import BEGIN, DAY, PHASES, WEEKS, day, world, write
from rich.console import Console
from rich.table import Table
from server import lead_to_server, load
from weeks import NAMES, WEEK, Week, know_tables, means, show, weekly

HERE = Path(__file__).parent
DATA = HERE / "data"
HOME = HERE / ".headrace" / "demo"
FIRST = PHASES["takeover"]
"""The first model is trained at the beginning of the week in which the adversary changes for the first time."""
LIVE = WEEKS * 7 - 1
"""The day that is replayed, in part; history goes up to it."""
CUT = BEGIN + LIVE * DAY
HOURS = 6
A_DAY, FRAUDS = 2_000, 12
"""Half the world of generate.py: the online store takes up the tiles of all history before the first answer."""

console = Console()


def say(text: str) -> None:
    console.rule(f"[bold]{text}", align="left")


def headrace(*arguments: str, capture: bool = False) -> str:
    """Runs a command of ours in the demo's home (HEADRACE_HOME); its output when captured."""
    if not capture:
        console.print(f"[dim]$ headrace {' '.join(arguments)}", highlight=False, soft_wrap=True)
    command = [sys.executable, "-m", "headrace", *arguments]
    done = subprocess.run(command, cwd=HERE, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode:
        sys.exit(f"the demo stopped: headrace {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout or ""


def main() -> None:
    begun = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    where_things_are()
    history()
    found = across_weeks()
    live()
    told = means(found)
    saved = (told["never"]["cost"] - told["policy"]["cost"]) * sum(week.payments for week in found) / 1_000
    console.print(
        f"over {len(found)} weeks: average precision {told['never']['average_precision']:.3f} {NAMES['never']}, "
        f"{told['policy']['average_precision']:.3f} {NAMES['policy']}; what its errors cost is {saved:,.0f} lower",
        highlight=False,
    )
    console.print(f"the demo took {timedelta(seconds=round(time.monotonic() - begun))}", highlight=False)


def where_things_are() -> None:
    """The demo's home, and a free port for its server."""
    os.environ["HEADRACE_HOME"] = str(HOME)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ["HEADRACE_SERVER"] = f"http://127.0.0.1:{free.getsockname()[1]}"


def history() -> None:
    """Data, merchants, history, and the first model."""
    say("1  The data: sixteen weeks of card payments, GENERATED, with an adversary that changes")
    for name, rows in write(DATA, world(a_day=A_DAY, frauds=FRAUDS), CUT).items():
        console.print(f"  {name:28} {rows:>9,} rows", highlight=False)
    for phase, week in PHASES.items():
        console.print(f"  from week {week:>2} on: {phase}", highlight=False)

    say("2  Merchants in PostgreSQL")
    where = lead_to_server(HERE)
    console.print(f"  {load(DATA / 'merchants.csv'):,} merchants on {where}", highlight=False)

    say("3  The declaration: one file, compiled for every engine")
    headrace("check", ".")

    say(f"4  History before {day(LIVE)} through the same checks and enrichment")
    know_tables(HERE / "project.py", HOME, BEGIN)
    for stream in ("payment", "chargeback"):
        headrace("backfill", ".", stream, str(DATA / f"{stream}s.history.parquet"), "--until", day(LIVE))

    say(f"5  A first model, as of {day(FIRST * 7)}: it has seen card testing only")
    headrace("train", ".", "--until", day(FIRST * 7))


def across_weeks() -> list[Week]:
    """Each week since the first model."""
    say("6  The weeks since: that model never retrained, and a new one every week")
    found = []
    for week in weekly(HERE / "project.py", HOME, HOME / "weeks", BEGIN + FIRST * WEEK, CUT):
        console.print(f"[dim]  week {FIRST + len(found)}: {week.payments:,} payments are judged", highlight=False)
        found.append(week)
    show(found, FIRST, PHASES)
    return found


def live() -> None:
    """Hours in which every payment is scored, and the policy decides about the model that was never retrained."""
    say(f"7  Live: all roles in real processes, the first {HOURS} hours of {day(LIVE)}, every payment scored")
    with (HOME / "roles.log").open("w") as log:
        roles = subprocess.Popen(
            [sys.executable, "-m", "headrace", "up", ".", "--marks"],
            cwd=HERE, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            feeds = [f"--feed={stream}={DATA / f'{stream}s.live.parquet'}" for stream in ("payment", "chargeback")]
            headrace("replay", ".", *feeds, "--from", day(LIVE), "--to", f"{day(LIVE)}T{HOURS:02}:00Z")
            headrace("status", ".")
        finally:
            roles.terminate()
            roles.wait()

    say("8  What was decided")
    headrace("ledger", ".")
    decisions()


def decisions() -> None:
    """What each version decided live. Whether it was right will be known when the labels are final."""
    from headrace.declare.load import read_project
    from headrace.declare.topics import Topics
    from headrace.profiles import read_profile

    declaration = read_project(HERE / "project.py")
    archive = read_profile(declaration).open_archive(declaration)
    made = archive.read(Topics.of(declaration).predictions, columns=["_model", "_decision", "amount"])
    rows: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for row in made.to_pylist():
        rows[row["_model"]].append((row["_decision"], row["amount"]))
    table = Table("version", "scored", "flagged", "amount flagged", title="live decisions")
    for version, answers in sorted(rows.items()):
        flagged = [amount for decided, amount in answers if decided]
        table.add_row(version, f"{len(answers):,}", f"{len(flagged):,}", f"{sum(flagged):,.0f}")
    console.print(table)
    if not rows or not json.loads(headrace("ledger", ".", "--json", capture=True)):
        sys.exit("the demo ended without predictions or without a decision in the ledger")


if __name__ == "__main__":
    main()
