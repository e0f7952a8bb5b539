"""The exported PyFlink programs, run once by Flink's own client. Asked for by HEADRACE_TEST_PYFLINK.

It names a Python that has apache-flink 2.3.0 installed, in an environment of its own: the wheel is 828 MB and
conflicts with Headrace's other dependencies.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.parity import results
from tests.parity.engines import PARTITIONS, Engine, cluster_of, embedded, hard_project, no_history
from tests.parity.inputs import hard_input
from tests.parity.past import recomputed

from headrace.declare.topics import Topics
from headrace.log.consumer import Consumer
from headrace.log.contract import Topic
from headrace.log.kafka import KafkaLog
from headrace.schema.registry import RegistrySchemas
from headrace.schema.splitting import Splitter
from headrace.stack import Stack
from headrace.stack.flink_jar import SOURCES, flink_jar
from headrace.stack.jars import FLINK
from headrace.stream.flink.export import export
from headrace.stream.flink.gateway import Gateway
from headrace.stream.flink.mirror import Mirror

PYTHON = os.environ.get("HEADRACE_TEST_PYFLINK", "")
CONNECTORS = (
    "flink-connector-base",
    "flink-connector-jdbc",
    "flink-connector-kafka",
    "kafka-clients",
    "postgresql",
)
COUNT = 300
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.faults,
    pytest.mark.skipif(not PYTHON, reason="HEADRACE_TEST_PYFLINK names no Python with apache-flink"),
]


def classpath(stack: Stack) -> str:
    """What the wheel's own client lacks: the connectors and the project's jar."""
    folder = FLINK.folder(stack.cache)
    jdk = next(jdk for jdk in stack.jdks if jdk.version >= 17)
    own = flink_jar(SOURCES, folder, jdk, stack.cache)
    assert own is not None
    found = [own, *(jar for jar in sorted(folder.glob("*.jar")) if jar.name.startswith(CONNECTORS))]
    return ":".join(map(str, found))


def run(stack: Stack, program: Path) -> None:
    """`flink run -py`, by the wheel's client, against the stack's job manager."""
    find = "import pyflink, pathlib; print(pathlib.Path(pyflink.__file__).parent)"
    home = subprocess.run([PYTHON, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    bin_ = str(Path(PYTHON).parent)
    jdk = next(jdk for jdk in stack.jdks if jdk.version >= 17)
    environment = {
        **os.environ, "FLINK_HOME": home, "HADOOP_CLASSPATH": classpath(stack), "JAVA_HOME": str(jdk.home),
        "PATH": f"{bin_}:{os.environ['PATH']}",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)  # the client's Python is another one
    manager = stack.address("flink").removeprefix("http://")
    command = [
        "bash",
        f"{home}/bin/flink",
        "run",
        "-d",
        "-m",
        manager,
        "-pyclientexec",
        PYTHON,
        "-py",
        str(program),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stdout[-3_000:]}\n{done.stderr[-3_000:]}"


def test_both_programs_run(stack: Stack, tmp_path: Path) -> None:
    declaration = hard_project(tmp_path)
    topics = Topics.of(declaration)
    records, _ = hard_input(declaration.streams["sale"].topic, COUNT)
    cluster = cluster_of(stack, declaration)
    schemas = RegistrySchemas(cluster.registry)
    log = KafkaLog(stack.address("kafka"), Splitter(schemas), namespace=declaration.name)
    there = Engine(declaration, log, schemas, None, None, history=no_history)
    there.prepare()
    for name, owner in (
        (topics.enriched("sale"), "enrich"),
        (topics.dead("sale"), "enrich"),
        (topics.tiles, "tile"),
    ):
        log.create(Topic(name, owner, PARTITIONS))
    mirror = Mirror(declaration, schemas, cluster.lookup)
    consumer = Consumer(log, mirror.topics, mirror)
    while consumer.step():
        pass
    mirror.close()
    there.produce(records)
    export(declaration, schemas, cluster, tmp_path / "flink")
    gateway = Gateway(cluster.gateway, cluster.rest)
    try:
        for program in ("enrich.py", "tile.py"):
            run(stack, tmp_path / "flink" / program)
        with embedded(declaration, tmp_path) as here:
            here.produce(records)
            while here.enrich.step() + here.tile.step():
                pass
            wait(lambda: there.judged() >= here.judged())
            assert (there.count(topics.enriched("sale")), there.count(topics.dead("sale"))) == (
                here.count(topics.enriched("sale")), here.count(topics.dead("sale")),
            )  # fmt: skip
        wanted = recomputed(there)
        events = sum(tile["n"] for tile in wanted.values())
        assert events > COUNT
        wait(lambda: sum(tile["n"] for tile in results.merged(log, schemas, declaration).values()) >= events)
        found = results.merged(log, schemas, declaration)
        assert set(found) == set(wanted)
        different = {place: results.differences(wanted[place], found[place], 1e-9) for place in wanted}
        assert {place: each for place, each in different.items() if each} == {}
    finally:
        for job in gateway.jobs():
            if declaration.name in job.name and not job.ended:
                gateway.cancel(job.id)
        gateway.close()
        log.close()


def wait(true: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.3)
