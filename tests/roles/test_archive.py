"""The archive role, when live, drops from the log what has expired."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.declare.duration import DAY
from headrace.declare.load import read_project
from headrace.log.batches import Framed, Record
from headrace.profiles import Profile
from headrace.roles import archive
from headrace.roles.context import Context
from headrace.stream.producer import ROLE, Producer

FRAUD = read_project(Path(__file__).parent.parent / "projects" / "fraud.py")
STREAM = FRAUD.streams["payment"]


class AtRest(threading.Event):
    """Ends a role at its first rest."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


@pytest.mark.parametrize("clock", ["wall", "marks"])
def test_raw_records_expire_when_live_and_never_under_replay(tmp_path: Path, clock: str) -> None:
    profile = replace(Profile("local", tmp_path), clock=clock)
    context = Context.of("archive", FRAUD, profile)
    log = context.log
    Producer(log, context.schemas, STREAM, partitions=1)
    assert log.topic(STREAM.topic).retention == 7 * DAY
    now = time.time_ns() // 1_000_000
    writer = log.writer(ROLE)
    with writer.transaction() as transaction:
        for arrival in (now - 8 * DAY, now - 6 * DAY):
            transaction.append(STREAM.topic, 0, Framed.of([Record(b"k", b"v", arrival=arrival)], now))
    writer.close()
    archive.run(replace(context, stop=AtRest()))
    assert log.bounds(STREAM.topic) == [(1 if clock == "wall" else 0, 2)]
    log.close()
