"""The cluster profile's servers as plain processes on one machine, without containers.

Installs, starts, checks and stops three Kafka nodes, a schema registry, Flink, PostgreSQL, Redis, Prometheus and
Alertmanager on loopback. `Stack` is the whole of it.
"""

from __future__ import annotations

from headrace.stack.stack import Stack

__all__ = ["Stack"]
