"""The log on Kafka.

Every message is one record in Confluent's wire format, so that anything that speaks Kafka can read it. A mark is a
message without a value and with the header `headrace-mark` (ms). A record's arrival is the header
`headrace-arrival` (ms) where a writer of Headrace set it, else the broker's append time.

A writer is a transactional producer, so effects are all or nothing; readers see committed transactions only. Across
partitions a transaction becomes visible partition by partition, and it is visible everywhere when `transaction()`
returns. A transaction's end takes an offset of its own: offsets have gaps, and a batch covers the gap behind it.

Positions are the offsets of the consumer group of the role's name, so that Kafka's own tools show lag and a group
that another program commits (a Flink job) is read by `committed`; the mark is the text of their metadata. What else
is to be remembered (owners of topics, leases of roles, small state) stands in one compacted topic,
`headrace.state`.

A namespace, "shop" say, sets several installations on one cluster apart: it stands before groups, transactional ids
and the state topic. Topics keep their names, for others read and write them too.
"""

from headrace.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
