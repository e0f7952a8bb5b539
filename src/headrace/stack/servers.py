"""All servers, and the names by which one or several are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.errors import StackError
from headrace.stack.flink import Gateway, JobManager, TaskManager
from headrace.stack.kafka import NODES, KafkaNode
from headrace.stack.postgres import Postgres
from headrace.stack.prometheus import Alertmanager, Prometheus
from headrace.stack.redis import Redis
from headrace.stack.registry import Registry
from headrace.stack.server import Server

SERVERS: Final[dict[str, Server]] = {
    server.name: server
    for server in (
        *(KafkaNode(node) for node in NODES),
        Postgres(),
        Registry(),
        JobManager(),
        TaskManager(),
        Gateway(),
        Redis(),
        Prometheus(),
        Alertmanager(),
    )
}
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "kafka": tuple(f"kafka-{node}" for node in NODES),
    "flink": ("jobmanager", "taskmanager", "gateway"),
}
PORTS: Final = tuple(port for server in SERVERS.values() for port in server.ports)


def named(names: Sequence[str]) -> list[Server]:
    """The servers of these names and groups, all for none, in the order in which they are listed.

    >>> [server.name for server in named(["redis", "kafka"])]
    ['kafka-1', 'kafka-2', 'kafka-3', 'redis']
    """
    wanted = {server for name in names for server in GROUPS.get(name, (name,))}
    unknown = sorted(wanted - set(SERVERS))
    if unknown:
        known = ", ".join([*GROUPS, *(name for name in SERVERS if name not in sum(GROUPS.values(), ()))])
        raise StackError(f"server {unknown[0]}", "there is none of that name", f"use {known}")
    return [server for server in SERVERS.values() if not names or server.name in wanted]


def needed(names: Sequence[str]) -> list[Server]:
    """The same with what they need to run.

    >>> [server.name for server in needed(["registry"])]
    ['postgres', 'registry']
    """
    wanted = [server.name for server in named(names)]
    for name in wanted:
        wanted += [other for other in SERVERS[name].after if other not in wanted]
    return [server for server in SERVERS.values() if server.name in wanted]
