"""What a role tells Prometheus: its process, its network, how far it is behind, and what its topics hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.declare.topics import Topics, topics_read
from headrace.errors import LogError, RoleError
from headrace.roles.context import Context
from headrace.roles.lag import lag
from headrace.roles.supervisor import ROLES

_NETWORK: Final = Path("/proc/self/net/dev")


def expose(context: Context, *others: Collector) -> None:
    """Answers `GET /metrics` from now on, in a thread of its own, where the profile names an address for it.

    RoleError where that cannot be listened on.
    """
    address = address_of(context.role, context.profile.metrics)
    if address is None:
        return
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in (Network(), Flow(context), *others):
        registry.register(collector)
    host, _, port = address.rpartition(":")
    try:
        start_http_server(int(port), host, registry)
    except (OSError, ValueError) as error:
        raise RoleError(
            f"role {context.role}", f"its metrics cannot be served at {address}: {error}", "choose another address"
        ) from error


def address_of(role: str, first: str) -> str | None:
    """host:port of a role's metrics, given the first role's; None where there is none.

    >>> address_of("tile", "127.0.0.1:9200"), address_of("tile", "")
    ('127.0.0.1:9202', None)
    """
    if not first:
        return None
    host, _, port = first.rpartition(":")
    return f"{host}:{int(port) + ROLES.index(role)}"


class Network(Collector):
    """Bytes of the network that the process sees (in a container: its own), by device. None off Linux."""

    def collect(self) -> Iterator[Metric]:
        bytes_of = CounterMetricFamily(
            "headrace_network_bytes", "Bytes by network device.", labels=["device", "direction"]
        )
        if _NETWORK.is_file():
            for line in _NETWORK.read_text().splitlines()[2:]:
                device, _, counts = line.partition(":")
                fields = counts.split()
                bytes_of.add_metric([device.strip(), "in"], int(fields[0]))
                bytes_of.add_metric([device.strip(), "out"], int(fields[8]))
        yield bytes_of


class Flow(Collector):
    """Records behind, of the topics that a role reads; records so far, of the topics that it writes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        declaration, topics = context.declaration, Topics.of(context.declaration)
        self._reads = topics_read(declaration).get(context.role, [])
        own = {
            "enrich": {
                **{topics.enriched(title): "enriched" for title in declaration.streams},
                **{topics.dead(title): "dead" for title in declaration.streams},
            },
            "tile": {topics.tiles: "tiles"},
            "monitor": {topics.predictions: "predictions", topics.ledger: "ledger"},
        }
        self._writes = own.get(context.role, {})

    def collect(self) -> Iterator[Metric]:
        behind = GaugeMetricFamily("headrace_lag_records", "Records not read yet.", labels=["role", "topic"])
        records = CounterMetricFamily("headrace_records", "Records of a topic so far.", labels=["topic", "kind"])
        log, role = self._context.log, self._context.role
        try:
            there = {topic.name for topic in log.topics()}
            if self._reads:
                commit = log.committed(role)
                for topic in self._reads:
                    if topic in there:
                        behind.add_metric([role, topic], lag(log, commit, topic))
            for topic, kind in self._writes.items():
                count = sum(end for _, end in log.bounds(topic)) if topic in there else 0
                records.add_metric([topic, kind], count)
        except LogError as error:  # a log that is away is no reason to tell nothing of the process
            self._context.say.warning("%s", error)
            return
        yield from (behind, records)
