"""Kafka: three nodes, each controller and broker, so that any one may die."""

from __future__ import annotations

import subprocess
from typing import Final

from headrace.errors import StackError
from headrace.stack.jars import KAFKA
from headrace.stack.kafka_metadata import read_nodes
from headrace.stack.place import Place
from headrace.stack.ports import LOOPBACK
from headrace.stack.server import Launch, NotReady, Server

NODES: Final = (1, 2, 3)
_CLUSTER: Final = "aGVhZHJhY2Utc3RhY2stMQ"
_LOGGING: Final = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
"""


class KafkaNode(Server):
    """One of three nodes. Its address is that of all three."""

    jars = KAFKA
    java = 17
    memory = 700

    def __init__(self, node: int) -> None:
        self.node = node
        self.name = f"kafka-{node}"
        self.ports = (self.name, f"{self.name}-controller")

    def launch(self, place: Place) -> Launch:
        folder = place.config(self.name)
        properties = folder / "server.properties"
        properties.write_text(self._properties(place))
        (folder / "log4j2.properties").write_text(_LOGGING)
        java = [
            str(place.java(self.java, "Kafka").java),
            f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
            "-cp",
            f"{KAFKA.folder(place.cache)}/*",
        ]
        if not (place.data(self.name) / "meta.properties").exists():
            self._format([*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties)])
        heap = ["-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
        return Launch((java[0], *heap, *java[1:], "kafka.Kafka", str(properties)))

    def ask(self, place: Place) -> None:
        missing = sorted(set(NODES) - read_nodes(LOOPBACK, place.ports[self.name]))
        if missing:
            raise NotReady(f"{self.name} does not see {', '.join(f'kafka-{node}' for node in missing)}")

    def address(self, place: Place) -> str:
        return ",".join(place.address(f"kafka-{node}") for node in NODES)

    def _format(self, command: list[str]) -> None:
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode:
            raise StackError(
                self.name, f"its folder cannot be formatted: {run.stderr[-400:]}", "headrace stack down --purge"
            )

    def _properties(self, place: Place) -> str:
        voters = ",".join(f"{node}@{place.address(f'kafka-{node}-controller')}" for node in NODES)
        listeners = f"BROKER://{place.address(self.name)},CONTROLLER://{place.address(f'{self.name}-controller')}"
        return f"""\
process.roles=broker,controller
node.id={self.node}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners=BROKER://{place.address(self.name)}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={place.data(self.name)}
num.partitions=6
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
auto.create.topics.enable=false
log.message.timestamp.type=LogAppendTime
transaction.max.timeout.ms=900000
offsets.topic.replication.factor=3
offsets.topic.num.partitions=12
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=12
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""
