"""kill -9 of the server under load: every prediction that was answered is in the topics, exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from headrace.archive.columns import archived
from headrace.log.sqlite import SqliteLog
from headrace.schema.avro import decode
from headrace.schema.folder import FolderSchemas
from headrace.serving.sender import Sender

KILLS = 5
CLIENTS = 3


class Load:
    """Clients that ask until the server is gone."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row
        self._asked = 0
        self._lock = threading.Lock()
        self.answered: dict[str, str] = {}
        """The payment of each prediction's id."""

    def run(self, port: int, enough: int, reached: threading.Event) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            while True:
                with self._lock:
                    numbers = [self._asked, self._asked + 1]
                    self._asked += 2
                payments = [f"p{number}" for number in numbers]
                rows = [{**self._row, "payment_id": payment, "card": f"c{payment[-1]}"} for payment in payments]
                try:
                    answer = client.post("/predict", json={"rows": rows})
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                with self._lock:
                    for payment, one in zip(payments, answer.json()["predictions"], strict=True):
                        self.answered[one["id"]] = payment
                    if len(self.answered) >= enough:
                        reached.set()


def test_no_answered_prediction_is_lost_or_doubled(fraud: Any, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    load = Load(fraud.known)
    chance = random.Random(5)
    program = Path(__file__).with_name("killable.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for _ in range(KILLS):
            parent.stdin.write(f"{folder}\n")
            parent.stdin.flush()
            child, port = (int(word) for word in parent.stdout.readline().split())
            reached = threading.Event()
            enough = len(load.answered) + chance.randrange(2, 150)
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [pool.submit(load.run, port, enough, reached) for _ in range(CLIENTS)]
                assert reached.wait(60)
                os.kill(child, signal.SIGKILL)
            for client in clients:
                client.result()
        parent.stdin.close()

    log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    sender = Sender(fraud.declaration, log, schemas, folder / "segments", partitions=3, now=lambda: 0)
    while sender.ship():
        pass
    sender.close()
    topic = "fraud.predictions"
    predicted = rows_of(log, schemas, topic, archived(fraud.declaration)[topic])
    ids = Counter(row["_id"] for row in predicted)
    assert set(ids.values()) == {1}
    assert set(load.answered) <= set(ids)
    assert {row["_id"]: row["payment_id"] for row in predicted}.items() >= load.answered.items()
    stream = fraud.declaration.example_stream
    events = Counter(row["payment_id"] for row in rows_of(log, schemas, stream.topic, stream.columns))
    assert events == Counter(row["payment_id"] for row in predicted)
    log.close()


def rows_of(log: SqliteLog, schemas: FolderSchemas, topic: str, columns: Any) -> list[dict[str, Any]]:
    batches = [batch for place in range(3) for batch in log.read(topic, place, 0, 1_000_000)]
    latest = schemas.latest(f"{topic}-value")
    assert latest is not None
    return decode(batches, schemas, latest.schema, columns).table.to_pylist()
