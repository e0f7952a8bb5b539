"""Does work in a child process that is killed (-9) at moments that a seed chooses, and then lets it finish.

Run as `killed.py archive|backfill HOME SEED KILLS`; prints how many children died in the middle. The child writes
a byte whenever it has done a step. This process never opens an archive: deltalake's threads do not survive a fork.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

import headrace.archive.backfill as backfilling
from headrace.archive.delta import Archive
from headrace.archive.sink import ArchiveSink
from headrace.declare.load import read_project
from headrace.declare.types import ColumnType
from headrace.log.consumer import Consumer
from headrace.log.sqlite import SqliteLog
from headrace.schema.folder import FolderSchemas

COLUMNS = {"n": ColumnType("int"), "text": ColumnType("str")}
TOPICS = ("first", "second")


def archive(home: Path, tell: Callable[[], None]) -> None:
    """Archives everything that is in the log."""
    sink = ArchiveSink(
        Archive(home / "archive"),
        FolderSchemas(home / "schemas"),
        dict.fromkeys(TOPICS, COLUMNS),
        rows=60,
        compact=4,
    )
    consumer = Consumer(SqliteLog(home / "log"), TOPICS, sink, limit=15)
    while consumer.step():
        tell()
    sink.flush()


def backfill(home: Path, tell: Callable[[], None]) -> None:
    """Brings all CSV files."""
    backfilling._BATCH = 2048
    files = sorted(home.glob("[0-9].csv"))
    backfilling.backfill(
        read_project(home / "shop.py"),
        "sale",
        files,
        int((home / "until").read_text()),
        Archive(home / "archive"),
        SqliteLog(home / "log"),
        FolderSchemas(home / "schemas"),
        lookups={"store": pa.table({"store": ["north", "south"], "region": ["N", "S"]})},
        progress=lambda done, total: tell(),
    )


def main(work: Callable[[Path, Callable[[], None]], None], home: Path, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    ends = [attempt(work, home, chance.randrange(1, 6), chance.uniform(0, 0.04)) for _ in range(kills)]
    print(ends.count(-signal.SIGKILL))
    if attempt(work, home, None, 0) != 0:
        sys.exit("the last attempt failed")


def attempt(work: Callable[[Path, Callable[[], None]], None], home: Path, steps: int | None, more: float) -> int:
    """One child; killed after so many steps and a moment more, unless it ends before. Its status."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(home, lambda: _say(writing))
        except BaseException as error:  # noqa: BLE001
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    os.close(writing)
    count = 0
    while (steps is None or count < steps) and os.read(reading, 1):
        count += 1
    if steps is not None:
        time.sleep(more)  # the moment of the kill, nothing waits for it
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reading)
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"an attempt ended with {status}")
    return status


def _say(writing: int) -> None:
    os.write(writing, b".")


if __name__ == "__main__":
    main(
        {"archive": archive, "backfill": backfill}[sys.argv[1]],
        Path(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
    )
