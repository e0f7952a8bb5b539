"""The log's contract on one Kafka cluster."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from headrace.errors import LogError, WriterTaken
from headrace.log.batches import Batch, Framed, Mark, Partition
from headrace.log.contract import Commit, Topic, Writer
from headrace.log.kafka.cluster import Cluster
from headrace.log.kafka.groups import Groups
from headrace.log.kafka.leases import Holder
from headrace.log.kafka.messages import Splitter
from headrace.log.kafka.reader import Reader
from headrace.log.kafka.state import NAME, State, as_json
from headrace.log.kafka.writer import KafkaWriter, LeasedWriter

OUTSIDE: Final = "producers"
"""The owner of a topic that Headrace did not create."""
_SCAN: Final = 10_000


class KafkaLog:
    """A log on Kafka; every process opens its own.

    servers: host:port, separated by commas. split: the records of a block (`schema.splitting`). settings:
    librdkafka's, passed as they are. namespace: sets several installations on one cluster apart.

    A topic that exists without having been created here is owned by "producers" until a role creates it: then it is
    taken over as it is, where the number of its partitions is right. LogError where no broker answers.
    """

    def __init__(
        self, servers: str, split: Splitter, settings: Mapping[str, Any] | None = None, namespace: str = ""
    ) -> None:
        self.split = split
        self.cluster = Cluster(servers, settings or {})
        self.groups = Groups(self.cluster)
        self._prefix = f"{namespace}." if namespace else ""
        self._reader = Reader(self.cluster, self._prefix + "headrace.readers")
        self.state = State(self.cluster, self._reader, self._prefix + NAME)
        self._topics: dict[str, Topic] = {}
        self._turns: dict[str, KafkaWriter] = {}
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def create(self, topic: Topic) -> None:
        if topic.partitions < 1:
            raise LogError(f"topic {topic.name}", "it has no partition", "give it at least one")
        settings = {
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(-1 if topic.retention is None else topic.retention),
        }
        there = self.cluster.topics()
        if topic.name not in there and not self.cluster.create(topic.name, topic.partitions, settings):
            there = self.cluster.topics()  # another process was faster
        owner = self._owner(topic.name, self.state.refresh())
        partitions = there.get(topic.name, topic.partitions)
        if partitions != topic.partitions or (owner is not None and owner[0] != topic.owner):
            raise LogError(
                f"topic {topic.name}",
                f"it exists with owner {(owner or (OUTSIDE,))[0]!r} and {partitions} partitions, "
                f"and was asked for with owner {topic.owner!r} and {topic.partitions}",
                "use another name, or keep its owner and its number of partitions",
            )
        if owner is None:
            self.state.put(f"topic/{topic.name}", as_json({"owner": topic.owner, "retention": topic.retention}))
        self._topics.pop(topic.name, None)

    def topics(self) -> list[Topic]:
        values = self.state.refresh()
        found = [
            self._named(name, partitions, values)
            for name, partitions in sorted(self.cluster.topics().items())
            if not name.startswith("__") and not name.endswith(NAME)
        ]
        self._topics.update((topic.name, topic) for topic in found)
        return found

    def topic(self, name: str) -> Topic:
        found = self._topics.get(name)
        if found is None:
            self.topics()
            found = self._topics.get(name)
        if found is None:
            raise LogError(f"topic {name}", f"it is not on Kafka at {self.cluster.servers}", "create it first")
        return found

    def writer(self, role: str) -> Writer:
        return LeasedWriter(self, role, f"headrace.{self._prefix}{role}")

    @contextmanager
    def turn(self, role: str, patience: float = 30.0) -> Iterator[Writer]:
        with self._lock:
            lock = self._locks.setdefault(role, Lock())
        if not lock.acquire(timeout=patience):
            cause = f"another thread of the process {os.getpid()} is its writer"
            raise WriterTaken(f"role {role}", cause, "let its turn end first")
        try:
            writer = self._turns.get(role)
            if writer is None:
                self.state.ensure()
                place = f"{socket.gethostname()}.{os.getpid()}.{time.time_ns()}"
                writer = self._turns[role] = KafkaWriter(self, role, f"headrace.{self._prefix}{role}.{place}")
            else:
                writer.refresh()
            yield writer
        finally:
            lock.release()

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Batch]:
        known = self.topic(topic)
        if not 0 <= partition < known.partitions:
            cause = f"it has no partition {partition}"
            raise LogError(f"topic {topic}", cause, f"read one of 0 to {known.partitions - 1}")
        return self._reader.read(topic, partition, offset, limit)

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        places = [(topic, partition) for partition in range(self.topic(topic).partitions)]
        firsts, ends = self.cluster.firsts(places), self.cluster.ends(places)
        return [(firsts[place], ends[place]) for place in places]

    def committed(self, group: str) -> Commit:
        positions: dict[Partition, int] = {}
        marks = []
        for place in self.groups.committed(self.group(group)):
            if place.topic != self.state.topic:
                positions[place.topic, place.partition] = place.offset
            if place.metadata and place.metadata.isdigit():
                marks.append(int(place.metadata))
        return Commit(positions, max(marks, default=None))

    def expire(self, now: int) -> int:
        reader = Reader(self.cluster, self._prefix + "headrace.retention")
        try:
            dropped = 0
            for topic in self.topics():
                if topic.retention is not None:
                    dropped += self._expire(reader, topic, now - topic.retention)
        finally:
            reader.close()
        return dropped

    def close(self) -> None:
        for writer in self._turns.values():
            writer.close()
        self._turns.clear()
        self._reader.close()
        self.groups.close()
        self.cluster.close()

    def group(self, role: str) -> str:
        """The consumer group of a role."""
        return self._prefix + role

    def holder(self, role: str) -> Holder | None:
        """The process that is the role's writer, as far as its lease tells."""
        value = self.state.refresh().get(f"lease/{role}")
        return None if value is None else Holder.of(json.loads(value))

    def _expire(self, reader: Reader, topic: Topic, oldest: int) -> int:
        """Drops the records of each partition up to the first that arrived at `oldest` or later."""
        begins = {}
        bounds = self.bounds(topic.name)
        for partition, (first, _) in enumerate(bounds):
            begins[topic.name, partition] = _young(reader, (topic.name, partition), first, oldest)
        dropped = sum(begins[topic.name, place] - first for place, (first, _) in enumerate(bounds))
        if dropped:
            self.cluster.delete_before(begins)
        return dropped

    def _named(self, name: str, partitions: int, values: Mapping[str, bytes]) -> Topic:
        owner, retention = self._owner(name, values) or (OUTSIDE, None)
        return Topic(name, owner, partitions, retention)

    @staticmethod
    def _owner(name: str, values: Mapping[str, bytes]) -> tuple[str, int | None] | None:
        value = values.get(f"topic/{name}")
        if value is None:
            return None
        known = json.loads(value)
        return known["owner"], known["retention"]


def _young(reader: Reader, place: Partition, first: int, oldest: int) -> int:
    """The offset of the first record that arrived at `oldest` or later, else the end."""
    while found := reader.read(*place, first, _SCAN):
        for batch in found:
            match batch.content:
                case Mark(time):
                    arrivals = [time]
                case Framed(records):
                    arrivals = records.column("arrival").to_pylist()
                case _:
                    arrivals = []
            for row, arrival in enumerate(arrivals):
                if arrival >= oldest:
                    return batch.offset + row
        first = found[-1].end
    return first
