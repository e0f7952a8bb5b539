"""confluent_kafka's names, or MissingExtra where it is not installed."""

from __future__ import annotations

from headrace.errors import MissingExtra

try:
    from confluent_kafka import (
        Consumer,
        IsolationLevel,
        KafkaError,
        KafkaException,
        Producer,
        TopicPartition,
    )
    from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
except ImportError as error:
    raise MissingExtra("the log on Kafka", "confluent-kafka", "kafka") from error

__all__ = [
    "AdminClient",
    "Consumer",
    "IsolationLevel",
    "KafkaError",
    "KafkaException",
    "NewTopic",
    "OffsetSpec",
    "Producer",
    "TopicPartition",
]
