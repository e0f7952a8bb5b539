"""The Compose file cannot be run here; it is compared with what `headrace stack` starts."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.declare.load import read_project
from headrace.profiles import read_profile
from headrace.stack.flink import write_config
from headrace.stack.jars import FLINK
from headrace.stack.kafka import NODES
from headrace.stack.place import Place
from headrace.stack.registry import Registry
from headrace.stack.servers import SERVERS

FILE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
OTHER_ADDRESSES = {
    "node.id", "controller.quorum.voters", "listeners", "advertised.listeners", "listener.security.protocol.map",
    "log.dirs", "num.network.threads", "num.io.threads", "log.cleaner.dedupe.buffer.size",
}  # fmt: skip
"""Settings of Kafka that differ between containers and processes."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def test_every_server_is_a_service(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*SERVERS, "registry-backward"}


def test_kafka_is_told_the_same(compose: dict[str, Any], place: Place) -> None:
    for node in NODES:
        name = f"kafka-{node}"
        (place.data(name) / "meta.properties").write_text("")
        SERVERS[name].launch(place)
        lines = (place.config(name) / "server.properties").read_text().splitlines()
        ours = dict(line.split("=", 1) for line in lines)
        theirs = compose["services"][name]["environment"]
        assert theirs["KAFKA_NODE_ID"] == str(node)
        for key in set(ours) - OTHER_ADDRESSES:
            assert theirs["KAFKA_" + key.upper().replace(".", "_")] == ours[key], key


def test_each_node_is_advertised_where_it_is_published(compose: dict[str, Any]) -> None:
    for node in NODES:
        service = compose["services"][f"kafka-{node}"]
        published, port = service["ports"][0].rsplit(":", 1)
        listeners = dict(item.split("://") for item in service["environment"]["KAFKA_LISTENERS"].split(","))
        advertised = dict(
            item.split("://") for item in service["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
        )
        assert advertised["HOST"] == published
        assert listeners["HOST"] == f":{port}"


def test_flink_is_told_the_same(compose: dict[str, Any], place: Place) -> None:
    ours = yaml.safe_load((write_config(place) / "config.yaml").read_text())
    for name in ("jobmanager", "taskmanager", "gateway"):
        theirs = yaml.safe_load(compose["services"][name]["environment"]["FLINK_PROPERTIES"])
        assert "rest.bind-port" not in theirs
        places = ("address", "port", "host", "dir", "memory")
        same = [key for key in theirs if not any(word in key for word in places)]
        assert len(same) > 6
        assert {key: theirs[key] for key in same} == {key: ours[key] for key in same}


def test_versions_are_those_of_the_poms(compose: dict[str, Any]) -> None:
    def pinned(name: str, artifact: str) -> str:
        space = {"m": "http://maven.apache.org/POM/4.0.0"}
        root = ElementTree.parse(FLINK.poms / name / "pom.xml")
        for dependency in root.iterfind(".//m:dependency", space):
            if dependency.findtext("m:artifactId", namespaces=space) == artifact:
                return str(dependency.findtext("m:version", namespaces=space))
        raise AssertionError(artifact)

    services = compose["services"]
    flink = ElementTree.parse(FLINK.pom).findtext(".//{*}properties/{*}flink")
    assert services["kafka-1"]["image"].endswith(f":{pinned('kafka', 'kafka_2.13')}")
    assert services["registry"]["image"].endswith(f":{pinned(Registry.name, 'apicurio-registry-app')}")
    assert f"FROM flink:{flink}-java17" in services["jobmanager"]["build"]["dockerfile_inline"]
    wanted = re.search(r"-DincludeArtifactIds=(\S+)", services["jobmanager"]["build"]["dockerfile_inline"])
    assert wanted is not None
    names = {re.sub(r"-\d.*", "", jar) for jar in FLINK.sums()}
    assert set(wanted[1].split(",")) <= names


def test_nothing_listens_beyond_loopback(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 10
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_profile_in_its_header_names_published_ports(compose: dict[str, Any]) -> None:
    header = FILE.read_text().split("\nname:")[0]
    published = {
        port.split(":")[1] for service in compose["services"].values() for port in service.get("ports", [])
    }
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", header)) == published


def test_the_profile_in_its_header_is_one(tmp_path: Path) -> None:
    lines = [line[4:] for line in FILE.read_text().split("\nname:")[0].splitlines() if line.startswith("#   ")]
    project = tmp_path / "project.py"
    project.write_text((FILE.parents[1] / "tests" / "projects" / "shop.py").read_text())
    (tmp_path / "headrace.toml").write_text("\n".join(line for line in lines if not line.startswith("docker")))
    profile = read_profile(read_project(project), "cluster")
    assert profile.engine.startswith("flink:")
    assert profile.lookup


def test_compose_accepts_it() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("no Compose plugin here")
    run = subprocess.run([docker, "compose", "-f", str(FILE), "config", "-q"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
