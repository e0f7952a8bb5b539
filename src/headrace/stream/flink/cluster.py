"""Where a Flink job finds its surroundings, and how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headrace.declare.duration import MINUTE

OUTAGE: Final = 15 * MINUTE
"""The declared maximum outage, ms: the brokers' own limit for a transaction that is left open."""


@dataclass(frozen=True)
class Cluster:
    """A Flink cluster and what its jobs talk to.

    gateway, rest: URLs of the SQL Gateway and of the job manager. kafka: properties of Flink's Kafka clients
    ("bootstrap.servers" at least). registry: the base URL of the Confluent API. lookup: the address of the
    PostgreSQL that holds the joined tables, `postgresql://user:password@host:port/database`. checkpoints: the URL
    of the folder for the states of jobs, which the role and Flink must both see. jar: where the gateway finds the
    project's jar, None where it is on Flink's own classpath. namespace: stands before the names of consumer groups
    and transactions. parallelism: of each job. checkpoint: ms between two. outage: ms; after a longer one a job
    begins anew. options: settings of Flink for every job, as they are.
    """

    gateway: str
    rest: str
    kafka: Mapping[str, str]
    registry: str
    lookup: str
    checkpoints: str
    jar: str | None = None
    namespace: str = ""
    parallelism: int = 3
    checkpoint: int = 500
    outage: int = OUTAGE
    options: Mapping[str, str] = field(default_factory=dict)

    def named(self, name: str) -> str:
        """A name of Kafka's that several installations on one cluster must not share."""
        return f"{self.namespace}.{name}" if self.namespace else name

    @property
    def properties(self) -> dict[str, str]:
        """The options of a Kafka table that reach its clients."""
        return {f"properties.{name}": value for name, value in self.kafka.items()}
