"""Reads partitions at any offset with one consumer: what is fetched ahead waits in a buffer for each partition."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from threading import RLock
from typing import Any, Final

from headrace.errors import LogError, OffsetOutOfRange
from headrace.log.batches import Batch, Partition
from headrace.log.kafka.client import KafkaError, KafkaException, TopicPartition
from headrace.log.kafka.cluster import Cluster
from headrace.log.kafka.messages import Message, batches, incoming

_AHEAD: Final = 100_000
"""Messages that a partition nobody asks for may hold."""
_CHUNK: Final = 10_000
_PATIENCE: Final = 60.0
"""Seconds in which records that are there must come, also over the election of a new leader."""


@dataclass(slots=True)
class _Buffer:
    """What was fetched from one partition. begin: the offset to give next; all that is before `reached` is here."""

    begin: int
    reached: int
    messages: deque[Message] = field(default_factory=deque)
    paused: bool = False


class Reader:
    """Committed records, in batches. Threads take turns."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster = cluster
        self._consumer = cluster.consumer(group)
        self._buffers: dict[Partition, _Buffer] = {}
        self._lost: set[Partition] = set()
        self._lock = RLock()

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Batch]:
        """As `Log.read`: all that was committed when called, up to the limit."""
        place = topic, partition
        with self._lock, self._cluster.explained(f"topic {topic}"):
            buffer = self._at(place, offset)
            if len(buffer.messages) < limit:
                end = self._cluster.ends([place])[place]
                if buffer.reached < end:
                    self._fill(place, buffer, end, limit)
            taken = list(islice(buffer.messages, limit))
            for _ in taken:
                buffer.messages.popleft()
            end = buffer.messages[0].offset if buffer.messages else buffer.reached
            found = batches(topic, partition, taken, buffer.begin, end)
            buffer.begin = end
            return found

    def close(self) -> None:
        with self._lock:
            self._consumer.close()

    def _at(self, place: Partition, offset: int) -> _Buffer:
        """The partition's buffer, which begins at the offset."""
        buffer = self._buffers.get(place)
        if buffer is not None and buffer.begin <= offset <= buffer.reached:
            while buffer.messages and buffer.messages[0].offset < offset:
                buffer.messages.popleft()
            buffer.begin = offset
            return buffer
        first = self._cluster.firsts([place])[place]
        if offset < first:
            raise out_of_range(place, offset, first)
        wanted = TopicPartition(*place, offset)
        if buffer is not None:
            self._consumer.incremental_unassign([TopicPartition(*place)])
            del self._buffers[place]
        self._consumer.incremental_assign([wanted])
        buffer = self._buffers[place] = _Buffer(offset, offset)
        self._lost.discard(place)
        return buffer

    def _fill(self, place: Partition, buffer: _Buffer, end: int, limit: int) -> None:
        """Fetches until the buffer holds `limit` messages or all up to `end`."""
        for other, held in self._buffers.items():
            if held is not buffer and not held.paused and len(held.messages) > _AHEAD:
                self._consumer.pause([TopicPartition(*other)])
                held.paused = True
        if buffer.paused:
            self._consumer.resume([TopicPartition(*place)])
            buffer.paused = False
        until = time.monotonic() + _PATIENCE
        while len(buffer.messages) < limit and buffer.reached < end:
            came = self._consumer.consume(min(limit, _CHUNK), 0) or self._consumer.consume(1, 0.1)
            for message in came:
                self._take(message)
            if place in self._lost:
                self._consumer.incremental_unassign([TopicPartition(*place)])
                del self._buffers[place]
                raise out_of_range(place, buffer.reached, self._cluster.firsts([place])[place])
            if came:
                until = time.monotonic() + _PATIENCE
            elif time.monotonic() > until:
                raise LogError(
                    f"topic {place[0]}, partition {place[1]}",
                    f"the records from {buffer.reached} to {end} do not come from Kafka at {self._cluster.servers}",
                    "see that the partition has a leader",
                )

    def _take(self, message: Any) -> None:
        place = message.topic(), message.partition()
        buffer = self._buffers.get(place)
        error = message.error()
        if error is None:
            if buffer is not None and message.offset() >= buffer.reached:
                found = incoming(message)
                buffer.messages.append(found)
                buffer.reached = found.offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            if buffer is not None:
                buffer.reached = max(buffer.reached, message.offset())
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._lost.add(place)
        elif error.fatal():
            raise KafkaException(error)


def out_of_range(place: Partition, offset: int, first: int) -> OffsetOutOfRange:
    return OffsetOutOfRange(
        f"topic {place[0]}, partition {place[1]}",
        f"offset {offset} was asked for and the first that is kept is {first}",
        "start again from a backfill or a new epoch, and give the topic a longer retention",
    )
