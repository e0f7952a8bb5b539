"""What consumer groups committed."""

from __future__ import annotations

from threading import Lock
from typing import Final

from headrace.log.kafka.client import Consumer, KafkaException, TopicPartition
from headrace.log.kafka.cluster import Cluster

_ANSWER: Final = 2.0
"""Seconds for one question, before it is asked again."""


class Groups:
    """Offsets of groups, each asked with a consumer of its own, which does not join it.

    (The admin client has a question for all offsets of a group. It dies, and its process with it, of the answer
    that a broker no longer coordinates the group: github.com/confluentinc/librdkafka/issues/5040.)
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._consumers: dict[str, Consumer] = {}
        self._lock = Lock()

    def committed(self, group: str) -> list[TopicPartition]:
        """A group's offsets in the topics that there are, once those of ended transactions are settled."""

        def ask() -> list[TopicPartition]:
            topics = {name: count for name, count in self._cluster.topics().items() if not name.startswith("__")}
            places = [TopicPartition(name, number) for name, count in topics.items() for number in range(count)]
            with self._lock:
                found = self._consumer(group).committed(places, _ANSWER)
            for place in found:
                if place.error is not None:
                    raise KafkaException(place.error)
            return [place for place in found if place.offset >= 0]

        return self._cluster.until_settled(ask, f"group {group}")

    def close(self) -> None:
        with self._lock:
            for consumer in self._consumers.values():
                consumer.close()
            self._consumers.clear()

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            self._consumers[group] = self._cluster.consumer(group)
        return self._consumers[group]
