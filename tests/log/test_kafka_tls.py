"""The log on a Kafka that wants TLS and a password, by settings that stand in headrace.toml."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.certificates import certify

from headrace.compile.load import load
from headrace.errors import LogError
from headrace.log.batches import Framed, Record
from headrace.log.contract import Topic
from headrace.profiles import read_profile
from headrace.stack import Stack
from headrace.stack.jars import KAFKA
from headrace.stack.java import find_jdks
from headrace.stack.ports import listens

PROJECT = Path(__file__).parents[1] / "projects" / "shop.py"
USER, PASSWORD = "shop", "s3cret"
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256
listener.name.clients.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required username="{user}" password="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
log.dirs={folder}/data
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
"""


@dataclass(frozen=True)
class Secured:
    """A broker. folder: of the certificates; ca.pem signed the broker's, other.pem did not."""

    address: str
    folder: Path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One node of Kafka, whose clients speak TLS and log in."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    stack.install("kafka-1")
    folder = tmp_path_factory.mktemp("secured")
    certify(folder)
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(
        _PROPERTIES.format(port=port, controller=controller, folder=folder, user=USER, password=PASSWORD)
    )
    jdk = next(jdk for jdk in find_jdks() if jdk.version >= 17)
    java = [str(jdk.java), "-Xmx384m", "-cp", f"{KAFKA.folder(stack.cache)}/*"]
    add = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
    formatted = ["kafka.tools.StorageTool", "format", "-t", "aGVhZHJhY2UtdGVzdC10bHM", "-c", str(properties)]
    subprocess.run([*java, *formatted, "--add-scram", add], check=True, capture_output=True)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*java, "kafka.Kafka", str(properties)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while not listens(port):
            assert process.poll() is None, (folder / "log").read_text()[-3_000:]
            assert time.monotonic() < until, (folder / "log").read_text()[-3_000:]
            time.sleep(0.1)
        yield Secured(f"127.0.0.1:{port}", folder)
    finally:
        process.kill()
        process.wait()


def settings(secured: Secured, **changed: str) -> str:
    """headrace.toml for it."""
    given = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(secured.folder / "ca.pem"),
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        **changed,
    }
    lines = "".join(f'"{name}" = "{value}"\n' for name, value in given.items())
    return f'[profiles.safe]\nlog = "kafka:{secured.address}"\n[profiles.safe.kafka]\n{lines}'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(PROJECT, tmp_path / "project.py")
    return tmp_path


def test_it_writes_and_reads(secured: Secured, project: Path) -> None:
    (project / "headrace.toml").write_text(settings(secured))
    log = read_profile(load(project), "safe").open_log()
    log.create(Topic("safe.sales", "producers", 2))
    with log.turn("producers") as writer, writer.transaction() as transaction:
        transaction.append("safe.sales", 1, Framed.of([Record(b"k", b"v", {"h": b"x"}, 7)], 7))
        transaction.commit({("safe.sales", 0): 3})
    [batch] = log.read("safe.sales", 1, 0, 10)
    assert isinstance(batch.content, Framed)
    [row] = batch.content.records.to_pylist()
    assert (row["key"], row["value"], row["arrival"]) == (b"k", b"v", 7)
    assert log.committed("producers").positions == {("safe.sales", 0): 3}
    log.close()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sasl.password": "wrong"}, "correct the user, the password or the rights"),
        ({"ssl.ca.location": "{folder}/other.pem"}, "certificate"),
    ],
)
def test_what_is_refused_says_why(secured: Secured, project: Path, changed: dict[str, str], words: str) -> None:
    given = {name: value.format(folder=secured.folder) for name, value in changed.items()}
    (project / "headrace.toml").write_text(settings(secured, **given))
    profile = read_profile(load(project), "safe")
    with pytest.raises(LogError, match=words):
        profile.open_log()
