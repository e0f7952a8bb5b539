"""Known failures, provoked, and the mend that is named."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.stack import Stack, doctor
from headrace.stack.jars import JarSet
from headrace.stack.java import Jdk
from headrace.stack.packages import ALERTMANAGER, REDIS, Package
from headrace.stack.place import Place
from headrace.stack.process import launch
from headrace.stack.profile import write_profile
from headrace.stack.redis import Redis
from headrace.stack.server import Server
from headrace.stack.servers import SERVERS, named


def test_an_old_java_is_told_with_who_needs_a_newer_one() -> None:
    (found,) = doctor.wrong_java(named([]), [Jdk(17, Path("/j"))])
    assert (found.subject, "registry needs Java 21" in found.cause) == ("Java", True)
    assert "JAVA_HOME" in found.remedy
    assert len(list(doctor.wrong_java(named([]), []))) == 2
    assert not list(doctor.wrong_java(named([]), [Jdk(21, Path("/j"))]))


def test_a_missing_package_is_told_with_its_install_line() -> None:
    class Absent(Redis):
        package = Package("absent-server", "absent-binary")

    (found,) = doctor.missing_packages([Absent(), Absent()])
    assert found.remedy == "apt-get install absent-server"


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Server, JarSet, Path]:
    """A server of one jar that is there."""
    (tmp_path / "poms" / "toy").mkdir(parents=True)
    digest = hashlib.sha256(b"jar").hexdigest()
    (tmp_path / "poms" / "toy" / "jars.sha256").write_text(f"{digest}  toy-1.jar\n")

    class Toy(Redis):
        jars = JarSet("toy", tmp_path / "poms")

    server, cache = Toy(), tmp_path / "cache"
    server.jars.folder(cache).mkdir(parents=True)
    (server.jars.folder(cache) / "toy-1.jar").write_bytes(b"jar")
    return server, server.jars, cache


def test_sound_jars_are_no_finding(toy: tuple[Server, JarSet, Path]) -> None:
    server, _, cache = toy
    assert not list(doctor.broken_jars([server], cache))


def test_a_corrupt_jar_is_told_with_its_name(toy: tuple[Server, JarSet, Path]) -> None:
    server, jars, cache = toy
    (jars.folder(cache) / "toy-1.jar").write_bytes(b"JAR")
    (found,) = doctor.broken_jars([server], cache)
    assert "toy-1.jar" in found.cause
    assert found.remedy == f"rm -r {jars.folder(cache)} && headrace stack install"


def test_a_missing_jar_is_told_and_so_is_maven(
    toy: tuple[Server, JarSet, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, jars, cache = toy
    (jars.folder(cache) / "toy-1.jar").unlink()
    monkeypatch.setattr(doctor, "MAVEN", Package("maven", "sh"))
    assert [found.remedy for found in doctor.broken_jars([server], cache)] == ["headrace stack install"]
    monkeypatch.setattr(doctor, "MAVEN", Package("maven", "absent-binary"))
    assert [found.remedy for found in doctor.broken_jars([server], cache)] == ["apt-get install maven"]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (found,) = doctor.full_disk(tmp_path / "not" / "yet", least=1 << 60)
    assert found.subject == f"disk of {tmp_path}"
    assert not list(doctor.full_disk(tmp_path, least=1))


def test_too_little_memory_is_told_for_what_does_not_run_yet() -> None:
    (found,) = doctor.little_memory(named(["kafka"]), available=1 << 30)
    assert "1024 MiB are available" in found.cause
    assert not list(doctor.little_memory(named(["redis"]), available=1 << 30))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_a_home_that_the_user_postgres_cannot_enter_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = list(doctor.forbidden_root(closed, named(["postgres"])))
    assert len(found) == 1
    assert "must not run as root" in found[0].cause
    assert "chmod o+x" in found[0].remedy
    assert not list(doctor.forbidden_root(closed, named(["redis"])))


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Stack]:
    if REDIS.path() is None or ALERTMANAGER.path() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no Redis or no Alertmanager")
        pytest.skip("no Redis or no Alertmanager here")
    stack = Stack(tmp_path / "home", tmp_path / "cache")
    try:
        yield stack
    finally:
        stack.stop()


def about(stack: Stack, subject: str) -> list[doctor.Finding]:
    return [found for found in doctor.examine(stack) if found.subject == subject]


def test_a_server_that_died_is_told_with_what_brings_it_back(light: Stack) -> None:
    light.start("redis")
    assert about(light, "redis") == []
    light.kill("redis")
    (found,) = about(light, "redis")
    assert found.remedy == f"headrace stack up redis --home {light.home}"
    assert str(light.log("redis")) in found.cause
    light.start("redis")
    assert about(light, "redis") == []
    light.stop("redis")
    assert about(light, "redis") == []  # on purpose


def test_a_server_that_does_not_answer_is_told(light: Stack) -> None:
    light.start("redis")
    light.pause("redis")
    (found,) = about(light, "redis")
    assert "does not answer" in found.cause
    light.resume("redis")
    assert about(light, "redis") == []


def test_a_taken_port_is_told(light: Stack) -> None:
    light.start("redis")
    light.stop("redis")
    port = light.place.ports["redis"]
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        (found,) = about(light, "redis")
    assert str(port) in found.cause
    assert "headrace stack down" in found.remedy


def test_a_lost_node_of_three_is_told(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    (found,) = doctor.lost_node(stack, {"kafka-1", "kafka-3"})
    assert "kafka-2 of three is missing" in found.cause
    assert found.remedy == f"headrace stack up kafka --home {tmp_path}"
    assert not list(doctor.lost_node(stack, {"kafka-1", "kafka-2", "kafka-3"}))
    assert not list(doctor.lost_node(stack, {"redis"}))


class Overview(BaseHTTPRequestHandler):
    """A job manager whose task manager is gone."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"taskmanagers": 0, "slots-total": 0}).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_gateway_without_a_task_manager_is_told(place: Place) -> None:
    stack = Stack(place.home, place.cache)
    with ThreadingHTTPServer(("127.0.0.1", 0), Overview) as server:
        threading.Thread(target=server.serve_forever).start()
        place.home.mkdir()
        ports = {**place.ports, "jobmanager": server.server_port}
        write_profile(stack.profile, Place(place.home, place.cache, ports, ()))
        (found,) = doctor.idle_gateway(stack, {"gateway"})
        server.shutdown()
    assert found.remedy.startswith("headrace stack up flink")
    assert "task manager" in found.cause
    (found,) = doctor.idle_gateway(stack, {"gateway"})  # and now no job manager either
    assert "no job manager" in found.cause
    assert not list(doctor.idle_gateway(stack, {"redis"}))


def test_a_broker_that_is_no_broker_is_unreachable(tmp_path: Path, place: Place) -> None:
    """Something else runs under the name kafka-1: its question is not answered."""
    stack = Stack(place.home, place.cache)
    place.home.mkdir()
    write_profile(stack.profile, place)
    (place.home / "run").mkdir()
    stranger = launch(["sleep", "600"], tmp_path / "log", {}, tmp_path)
    stranger.write(place.home / "run" / "kafka-1.json")
    try:
        found = about(stack, "kafka-1")
    finally:
        stranger.kill()
    assert [one.remedy.startswith("headrace stack down kafka-1") for one in found] == [True]
    assert "nothing listens on kafka-1" in found[0].cause


def test_the_command_ends_with_1_and_tells_a_program(light: Stack) -> None:
    light.start("redis")
    light.kill("redis")
    shown = CliRunner().invoke(app, ["stack", "doctor", "--home", str(light.home), "--json"])
    assert shown.exit_code == 1
    assert {"subject", "cause", "remedy"} == set(json.loads(shown.output)[0])
    shown = CliRunner().invoke(app, ["stack", "doctor", "--home", str(light.home)])
    assert shown.exit_code == 1
    assert f"mend: headrace stack up redis --home {light.home}" in shown.output.replace("\n", " ").replace(
        "  ", " "
    )


def test_every_server_says_how_much_memory_it_needs() -> None:
    assert all(server.memory > 0 for server in SERVERS.values())
