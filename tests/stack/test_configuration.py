"""What the servers are told: read back from the files and commands that start them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from headrace.errors import StackError
from headrace.stack.flink import SLOTS, write_config
from headrace.stack.place import Place
from headrace.stack.profile import read_ports, write_profile
from headrace.stack.servers import PORTS, SERVERS, named


@pytest.fixture
def formatted(place: Place) -> Place:
    """A place whose Kafka and PostgreSQL folders exist already, so that a launch runs nothing."""
    for node in named(["kafka"]):
        (place.data(node.name) / "meta.properties").write_text("")
    return place


def properties(place: Place, node: str) -> dict[str, str]:
    SERVERS[node].launch(place)
    lines = (place.config(node) / "server.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_three_nodes_form_one_durable_cluster(formatted: Place) -> None:
    nodes = {name: properties(formatted, name) for name in ("kafka-1", "kafka-2", "kafka-3")}
    assert {found["node.id"] for found in nodes.values()} == {"1", "2", "3"}
    assert len({found["controller.quorum.voters"] for found in nodes.values()}) == 1
    assert len({found["log.dirs"] for found in nodes.values()}) == 3
    for name, found in nodes.items():
        voters = dict(voter.split("@") for voter in found["controller.quorum.voters"].split(","))
        assert f"CONTROLLER://{voters[found['node.id']]}" in found["listeners"]
        assert found["advertised.listeners"] == f"BROKER://{formatted.address(name)}"
        wanted = {
            "process.roles": "broker,controller",
            "num.partitions": "6",
            "default.replication.factor": "3",
            "min.insync.replicas": "2",
            "unclean.leader.election.enable": "false",
            "auto.create.topics.enable": "false",
            "log.message.timestamp.type": "LogAppendTime",
            "transaction.max.timeout.ms": "900000",
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
        }
        assert wanted.items() <= found.items()


def test_each_server_gets_the_java_that_it_needs(formatted: Place) -> None:
    programs = {name: server.launch(formatted).command[0] for name, server in SERVERS.items() if server.java}
    assert programs.pop("registry") == "/j25/bin/java"
    assert set(programs.values()) == {"/j17/bin/java"}


def test_flink_has_slots_checkpoints_and_no_bind_port(place: Place) -> None:
    settings = yaml.safe_load((write_config(place) / "config.yaml").read_text())
    assert "rest.bind-port" not in settings  # the gateway would take it for its own
    assert settings["taskmanager.numberOfTaskSlots"] == SLOTS == 16
    assert settings["restart-strategy.type"] == "exponential-delay"
    for key in ("execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"):
        assert Path(settings[key].removeprefix("file://")).is_relative_to(place.home / "data")
        assert Path(settings[key].removeprefix("file://")).is_dir()


def test_the_task_managers_heap_is_what_flink_counts_on(place: Place) -> None:
    command = SERVERS["taskmanager"].launch(place).command
    sizes = {key: int(mib) for part in command if (found := re.fullmatch(r"taskmanager\.memory\.(.*)=(\d+)m", part))
             for key, mib in [found.groups()]}  # fmt: skip
    heap = sizes["framework.heap.size"] + sizes["task.heap.size"]
    direct = sizes["framework.off-heap.size"] + sizes["task.off-heap.size"] + sizes["network.max"]
    assert f"-Xmx{heap}m" in command
    assert f"-XX:MaxDirectMemorySize={direct}m" in command
    assert f"-XX:MaxMetaspaceSize={sizes['jvm-metaspace.size']}m" in command


def test_a_task_manager_has_a_new_id_each_time(place: Place) -> None:
    ids = {part for _ in range(2) for part in SERVERS["taskmanager"].launch(place).command if "resource-id" in part}
    assert len(ids) == 2


def test_prometheus_reads_flink_and_what_is_dropped_into_its_folders(place: Place) -> None:
    SERVERS["prometheus"].launch(place)
    folder = place.config("prometheus")
    found = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert found["rule_files"] == [f"{folder}/rules/*.yml"]
    assert (folder / "rules").is_dir()
    flink = next(job for job in found["scrape_configs"] if job["job_name"] == "flink")
    assert flink["static_configs"][0]["targets"] == [
        place.address("jobmanager-metrics"), place.address("taskmanager-metrics")
    ]  # fmt: skip
    assert found["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == [place.address("alertmanager")]


def test_where_alerts_go_is_the_owners_to_say(place: Place) -> None:
    SERVERS["alertmanager"].launch(place)
    file = place.config("alertmanager") / "alertmanager.yml"
    assert yaml.safe_load(file.read_text())["route"]["receiver"] == "nobody"
    file.write_text("mine")
    SERVERS["alertmanager"].launch(place)
    assert file.read_text() == "mine"


def test_the_profile_leads_to_every_server_and_keeps_the_ports(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "stack.toml"
    assert read_ports(file) == {}
    write_profile(file, place)
    assert read_ports(file) == place.ports
    at = place.address
    found = tomllib.loads(file.read_text())
    assert found["profiles"]["cluster"] == {
        "log": f"kafka:{at('kafka-1')},{at('kafka-2')},{at('kafka-3')}",
        "schemas": f"registry:http://{at('registry')}/apis/ccompat/v7",
        "engine": f"flink:http://{at('gateway')}",
        "lookup": f"postgresql://headrace:headrace@{at('postgres')}/headrace",
        "online": f"redis:{at('redis')}/0",
        "flink": {
            "rest": f"http://{at('jobmanager')}",
            "checkpoints": (place.home / "data/flink/checkpoints").as_uri(),
        },
    }
    assert found["servers"] == {
        "prometheus": f"http://{at('prometheus')}",
        "alertmanager": f"http://{at('alertmanager')}",
        "savepoints": (place.home / "data/flink/savepoints").as_uri(),
    }


def test_a_profile_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text("ports = ")
    with pytest.raises(StackError, match=r"stack\.toml"):
        read_ports(tmp_path / "stack.toml")


def test_every_port_has_one_owner() -> None:
    assert len(set(PORTS)) == len(PORTS)


def test_a_server_that_does_not_exist_is_named() -> None:
    with pytest.raises(StackError, match=r"server kafka-4.*use kafka, flink, postgres, registry"):
        named(["kafka-4"])
