"""What a log remembers beside its records: one compacted topic of names and small values.

`topic/<name>` is a topic's owner and retention, `lease/<role>` the process that is a role's writer, and
`kept/<role>/<name>` what a transaction kept.
"""

from __future__ import annotations

import json
import time
from threading import RLock
from typing import Any, Final

from headrace.errors import LogError
from headrace.log.batches import Framed
from headrace.log.kafka.cluster import PATIENCE, Cluster
from headrace.log.kafka.reader import Reader

NAME: Final = "headrace.state"
_SETTINGS: Final = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "segment.bytes": str(16 * 2**20),
    "segment.ms": str(3_600_000),
    "min.cleanable.dirty.ratio": "0.1",
}
_OPEN_TRANSACTIONS: Final = 60.0
"""Seconds after which a broker has ended the transactions of dead writers."""


class State:
    """The values by name, as of the last `refresh`."""

    def __init__(self, cluster: Cluster, reader: Reader, topic: str) -> None:
        self._cluster = cluster
        self._reader = reader
        self.topic = topic
        self._there = False
        self._read = 0
        self._values: dict[str, bytes] = {}
        self._lock = RLock()

    def ensure(self) -> None:
        """Creates the topic where it is not there."""
        if not self._exists():
            self._cluster.create(self.topic, 1, _SETTINGS)
            self._there = True

    def refresh(self) -> dict[str, bytes]:
        """All values that are committed now."""
        with self._lock:
            if not self._exists():
                return {}
            while found := self._reader.read(self.topic, 0, self._read, 100_000):
                for batch in found:
                    if isinstance(batch.content, Framed):
                        keys, values = (batch.content.records.column(name).to_pylist() for name in ("key", "value"))
                        for key, value in zip(keys, values, strict=True):
                            self._set(key.decode(), value)
                self._read = found[-1].end
            return dict(self._values)

    def settled(self) -> dict[str, bytes]:
        """As `refresh`, once every transaction that is open now has ended (or its broker has ended it)."""
        place = self.topic, 0
        wanted = self._cluster.open_ends([place])[place]
        until = time.monotonic() + _OPEN_TRANSACTIONS
        while self._cluster.ends([place])[place] < wanted:
            if time.monotonic() > until:
                cause = "a transaction that some writer began does not end"
                raise LogError(
                    f"topic {self.topic}", cause, "stop the writer whose transaction hangs, and try again"
                )
            time.sleep(0.01)
        return self.refresh()

    def put(self, name: str, value: bytes) -> None:
        """Writes one value outside any transaction."""
        self.ensure()
        failed: list[Any] = []
        producer = self._cluster.producer()
        with self._cluster.explained(f"topic {self.topic}"):
            producer.produce(self.topic, value, name.encode(), on_delivery=lambda error, _: failed.append(error))
            producer.flush(2 * PATIENCE)
        if failed != [None]:
            cause = f"{name} could not be written: {failed[0] if failed else 'no broker took it'}"
            raise LogError(f"topic {self.topic}", cause, "see that the brokers run, and try again")
        with self._lock:
            self._set(name, value)

    def _exists(self) -> bool:
        self._there = self._there or self.topic in self._cluster.topics()
        return self._there

    def _set(self, name: str, value: bytes | None) -> None:
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value


def as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
