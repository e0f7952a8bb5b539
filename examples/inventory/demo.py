"""The whole loop on one machine: history, a first model, a replay in real processes, drift, a better model.

Every step is a `headrace` command that you can run yourself; this file only runs them in order.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prepare import CUT, FACTOR, SHIFT, SHIFTED, prepare
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
DATA = HERE / "data"
HOME = HERE / ".headrace" / "demo"
UNTIL = "2017-10-13"
"""Where the replay ends. Predictions up to a week before it can be judged."""

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
    os.environ["HEADRACE_HOME"] = str(HOME)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ["HEADRACE_SERVER"] = f"http://127.0.0.1:{free.getsockname()[1]}"

    say("1  The data: a year of purchases (simulated from real patterns by its publisher)")
    for name, rows in prepare(DATA).items():
        console.print(f"  {name:18} {rows:>9,} rows", highlight=False)
    console.print(f"  scenario: from {SHIFT} on, demand in {len(SHIFTED)} categories is multiplied by {FACTOR}")

    say("2  The declaration: one file, compiled for every engine")
    headrace("check", ".")

    say(f"3  History before {CUT} through the same checks and enrichment")
    headrace("backfill", ".", "purchase", str(DATA / "history.parquet"), "--until", CUT)

    say("4  A first model")
    headrace("train", ".", "--until", CUT)

    say(f"5  All roles in real processes; the stream replayed from {CUT} to {UNTIL}")
    with (HOME / "roles.log").open("w") as log:
        roles = subprocess.Popen(
            [sys.executable, "-m", "headrace", "up", ".", "--marks"],
            cwd=HERE, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            headrace(
                "replay", ".", "--feed", f"purchase={DATA / 'purchases.parquet'}", "--from", CUT, "--to", UNTIL
            )
            headrace("status", ".")
        finally:
            roles.terminate()
            roles.wait()

    say("6  What was decided, and what it was worth")
    headrace("ledger", ".")
    closing(time.monotonic() - begun)


def closing(seconds: float) -> None:
    """The errors on the weeks after the promotion: naive, the old champion, the promoted model."""
    entries = json.loads(headrace("ledger", ".", "--json", capture=True))
    promoted = [entry for entry in entries if entry["kind"] == "promote"]
    if not promoted:
        sys.exit("the demo ended without a promotion: see the ledger above")
    at = datetime.fromtimestamp(promoted[0]["at"] / 1000, UTC)
    new = promoted[-1]["detail"]["challenger"]
    last = datetime.fromtimestamp(promoted[-1]["at"] / 1000, UTC)
    since = max(at, last).strftime("%Y-%m-%d")
    arguments = [
        "compare",
        ".",
        "--since",
        since,
        "--until",
        UNTIL,
        "--version",
        "1",
        "--version",
        str(new),
        "--json",
    ]
    scores = json.loads(headrace(*arguments, capture=True))
    table = Table(
        "forecaster", "MAE", "RMSE", "predictions", title=f"predictions from {since} on, judged by {UNTIL}"
    )
    names = {"naive": "naive (last week again)", "version 1": "old champion (version 1)",
             f"version {new}": f"promoted model (version {new})"}  # fmt: skip
    for name, title in names.items():
        row = scores[name]
        table.add_row(title, f"{row['mae']:.3f}", f"{row['rmse']:.3f}", f"{row['examples']:,.0f}")
    console.print(table)
    naive, old, best = (scores[name]["mae"] for name in names)
    verdict = "beats both" if best < min(naive, old) else "does NOT beat both"
    console.print(
        f"the promoted model {verdict}; the demo took {timedelta(seconds=round(seconds))}", highlight=False
    )


if __name__ == "__main__":
    main()
