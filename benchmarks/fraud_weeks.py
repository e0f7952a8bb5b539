"""Fraud, week by week: average precision and precision at 100 a day, retrained against never retrained.

The payments are those of examples/fraud, which are GENERATED, with an adversary that changes: the numbers say what
retraining is worth in that world, and nothing of any bank. History is brought in by `headrace backfill`; see
examples/fraud/weeks.py for what is compared. Merchants are read from a file here, not from PostgreSQL. The last
line is JSON. Run it so: `python -m benchmarks fraud_weeks [--weeks 16] [--a-day 4000] [--frauds 20] [--seed 1]`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "fraud"
sys.path.insert(0, str(EXAMPLE))

import generate  # noqa: E402  (the example's own files, as its demo imports them)
import weeks  # noqa: E402


def project(folder: Path) -> Path:
    """The example's project with its table in a file."""
    text = (EXAMPLE / "project.py").read_text()
    assert text.count("postgresql:///#merchants") == 1
    (folder / "project.py").write_text(text.replace("postgresql:///#merchants", "data/merchants.csv"))
    return folder / "project.py"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=generate.WEEKS)
    parser.add_argument("--a-day", type=int, default=generate.A_DAY)
    parser.add_argument("--frauds", type=int, default=generate.FRAUDS, help="a day")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    first, days = generate.PHASES["takeover"], options.weeks * 7
    until, seconds = generate.BEGIN + days * generate.DAY, dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.perf_counter()
        world = generate.world(options.seed, options.weeks, options.a_day, options.frauds)
        counts = generate.write(folder / "data", world, until)
        seconds["generate"] = time.perf_counter() - begun
        file, home = project(folder), folder / "home"
        weeks.know_tables(file, home, generate.BEGIN)
        begun = time.perf_counter()
        for stream in ("payment", "chargeback"):
            events = str(folder / "data" / f"{stream}s.history.parquet")
            command = ["backfill", str(file), stream, events, "--until", generate.day(days)]
            subprocess.run(
                [sys.executable, "-m", "headrace", *command],
                check=True,
                env={**os.environ, "HEADRACE_HOME": str(home)},
            )
        seconds["backfill"] = time.perf_counter() - begun
        begun = time.perf_counter()
        found = []
        for week in weeks.weekly(file, home, folder / "work", generate.BEGIN + first * weeks.WEEK, until):
            found.append(week)
            print(f"week {first + len(found) - 1}: {week.payments:,} payments", file=sys.stderr)
        seconds["weeks"] = time.perf_counter() - begun
    weeks.show(found, first, generate.PHASES)
    result = {
        "benchmark": "fraud_weeks",
        "data": "generated",
        "payments": counts["payments.history.parquet"],
        "weeks": [{**asdict(week), "week": number} for number, week in enumerate(found, first)],
        "means": weeks.means(found),
        "means_from_week_8": weeks.means(found[8 - first :]) if len(found) > 8 - first else None,
        "seconds": {name: round(took, 1) for name, took in seconds.items()},
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
