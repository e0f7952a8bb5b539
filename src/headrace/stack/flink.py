"""Flink: job manager, task manager and SQL Gateway, from the modules of flink-dist."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Final

from headrace.stack.flink_jar import SOURCES, flink_jar
from headrace.stack.jars import FLINK
from headrace.stack.place import Place
from headrace.stack.ports import LOOPBACK
from headrace.stack.server import Launch, NotReady, Server
from headrace.stack.web import get_json

SLOTS: Final = 16
_PACKAGES: Final = (
    "lang", "net", "io", "nio", "lang.reflect", "text", "time", "util", "util.concurrent", "util.concurrent.atomic",
    "util.concurrent.locks",
)  # fmt: skip
_OPEN: Final = (
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    *(
        f"--add-exports=jdk.compiler/com.sun.tools.javac.{part}=ALL-UNNAMED"
        for part in ("api", "file", "parser", "tree", "util")
    ),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _PACKAGES),
)
_LOGGING: Final = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.netty.name = org.jboss.netty.channel.DefaultChannelPipeline
logger.netty.level = OFF
"""
_TASK_MEMORY: Final = {
    "cpu.cores": "2.0",
    "memory.framework.heap.size": "128m",
    "memory.task.heap.size": "896m",
    "memory.framework.off-heap.size": "128m",
    "memory.task.off-heap.size": "0m",
    "memory.network.min": "192m",
    "memory.network.max": "192m",
    "memory.managed.size": "512m",
    "memory.jvm-metaspace.size": "320m",
    "memory.jvm-overhead.min": "192m",
    "memory.jvm-overhead.max": "192m",
}
"""Flink's scripts compute these; a task manager that is started without them is told."""


class _Flink(Server):
    jars = FLINK
    java = 17
    main: str

    def launch(self, place: Place) -> Launch:
        folder = write_config(place)
        jdk = place.java(self.java, "Flink")
        own = flink_jar(SOURCES, FLINK.folder(place.cache), jdk, place.cache)
        classpath = [f"{FLINK.folder(place.cache)}/*", *([str(own)] if own else [])]
        return Launch(
            (
                str(jdk.java),
                *self.heap(),
                "-XX:+ExitOnOutOfMemoryError",
                *_OPEN,
                f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
                "-cp",
                ":".join(classpath),
                self.main,
                *self.arguments(place, folder),
            ),
            {"FLINK_CONF_DIR": str(folder)},
        )

    def heap(self) -> tuple[str, ...]:
        return ("-Xms128m", "-Xmx512m")

    def arguments(self, place: Place, folder: Path) -> tuple[str, ...]:
        raise NotImplementedError


class JobManager(_Flink):
    name = "jobmanager"
    ports = ("jobmanager", "jobmanager-rpc", "jobmanager-metrics")
    memory = 600
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"

    def arguments(self, place: Place, folder: Path) -> tuple[str, ...]:
        port = place.ports["jobmanager-metrics"]
        return ("--configDir", str(folder), "-D", f"metrics.reporter.prom.port={port}")

    def ask(self, place: Place) -> None:
        get_json(f"{self.address(place)}/overview")

    def address(self, place: Place) -> str:
        return place.url("jobmanager")


class TaskManager(_Flink):
    name = "taskmanager"
    ports = ("taskmanager-rpc", "taskmanager-metrics")
    memory = 1400
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"

    def heap(self) -> tuple[str, ...]:
        return ("-Xms256m", "-Xmx1024m", "-XX:MaxDirectMemorySize=320m", "-XX:MaxMetaspaceSize=320m")

    def arguments(self, place: Place, folder: Path) -> tuple[str, ...]:
        """A new id each time: the job manager goes on listing a killed task manager for a while."""
        name = f"taskmanager-{secrets.token_hex(4)}"
        self._id_file(place).write_text(name)
        settings = {
            "taskmanager.resource-id": name,
            "taskmanager.rpc.port": place.ports["taskmanager-rpc"],
            "metrics.reporter.prom.port": place.ports["taskmanager-metrics"],
            **{f"taskmanager.{key}": value for key, value in _TASK_MEMORY.items()},
        }
        return ("--configDir", str(folder), *(part for k, v in settings.items() for part in ("-D", f"{k}={v}")))

    def ask(self, place: Place) -> None:
        """Registered with its slots."""
        name = self._id_file(place).read_text()
        for found in get_json(f"{place.url('jobmanager')}/taskmanagers")["taskmanagers"]:
            if found["id"] == name and found["slotsNumber"] == SLOTS:
                return
        raise NotReady("it has not registered with the job manager")

    def address(self, place: Place) -> str:
        return place.address("taskmanager-rpc")

    def _id_file(self, place: Place) -> Path:
        return place.config("flink") / "taskmanager.id"


class Gateway(_Flink):
    name = "gateway"
    ports = ("gateway",)
    memory = 600
    main = "org.apache.flink.table.gateway.SqlGateway"

    def arguments(self, place: Place, folder: Path) -> tuple[str, ...]:
        endpoint = {
            "address": LOOPBACK,
            "bind-address": LOOPBACK,
            "port": place.ports["gateway"],
        }
        return tuple(f"-Dsql-gateway.endpoint.rest.{key}={value}" for key, value in endpoint.items())

    def ask(self, place: Place) -> None:
        get_json(f"{self.address(place)}/v1/info")

    def address(self, place: Place) -> str:
        return place.url("gateway")


def checkpoints(place: Place) -> Path:
    return place.data("flink") / "checkpoints"


def savepoints(place: Place) -> Path:
    return place.data("flink") / "savepoints"


def write_config(place: Place) -> Path:
    """The folder of config.yaml, one for all three.

    It never sets rest.bind-port, which the gateway would take for its own.
    """
    folder = place.config("flink")
    scratch = place.data("flink") / "scratch"
    for made in (checkpoints(place), savepoints(place), scratch):
        made.mkdir(parents=True, exist_ok=True)
    settings = {
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": place.ports["jobmanager-rpc"],
        "jobmanager.bind-host": LOOPBACK,
        "jobmanager.memory.process.size": "1g",
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.numberOfTaskSlots": SLOTS,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": place.ports["jobmanager"],
        "execution.target": "remote",
        "execution.checkpointing.dir": checkpoints(place).as_uri(),
        "execution.checkpointing.savepoint-dir": savepoints(place).as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": 3,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        "heartbeat.interval": "3 s",
        "heartbeat.timeout": "20 s",
        "cluster.io-pool.size": 8,
        "io.tmp.dirs": scratch,
        "metrics.reporter.prom.factory.class": "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
        # Names of SQL operators are whole queries, and writing them took a fifth of a task manager; the ids stay.
        "metrics.reporter.prom.scope.variables.excludes": "task_name;operator_name",
    }
    part = folder / f"config.{threading.get_ident()}.part"  # the three write it at once
    part.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    part.replace(folder / "config.yaml")
    (folder / "log4j2.properties").write_text(_LOGGING)
    return folder
