"""Start, keep, kill, stop: with the two servers that start in an instant."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack import Stack
from headrace.stack.packages import ALERTMANAGER, REDIS
from headrace.stack.process import launch
from headrace.stack.servers import SERVERS

LIGHT = ("redis", "alertmanager")


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Stack]:
    """A stack of which Redis and Alertmanager are started."""
    if REDIS.path() is None or ALERTMANAGER.path() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no Redis or no Alertmanager")
        pytest.skip("no Redis or no Alertmanager here")
    stack = Stack(tmp_path / "home", tmp_path / "cache")
    try:
        yield stack
    finally:
        stack.stop()


def pids(stack: Stack) -> dict[str, int]:
    return {name: process.pid for name, process in stack.started().items() if process.alive()}


def ask_redis(stack: Stack, *words: str) -> bytes:
    host, _, port = stack.address("redis").removeprefix("redis://").removesuffix("/0").partition(":")
    with socket.create_connection((host, int(port)), 5.0) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(1000)


def test_up_keeps_what_runs_and_brings_back_what_died(light: Stack) -> None:
    light.start(*LIGHT)
    first = pids(light)
    assert set(first) == set(LIGHT)
    light.start(*LIGHT)
    assert pids(light) == first
    light.kill("redis")
    assert pids(light) == {"alertmanager": first["alertmanager"]}
    light.start(*LIGHT)
    assert pids(light)["alertmanager"] == first["alertmanager"]
    assert pids(light)["redis"] != first["redis"]


def test_data_and_ports_survive_a_stop(light: Stack) -> None:
    light.start("redis")
    address = light.address("redis")
    assert ask_redis(light, "SET", "a", "1") == b"+OK\r\n"
    light.restart("redis")
    assert light.address("redis") == address
    assert ask_redis(light, "GET", "a") == b"$1\r\n1\r\n"


def test_purge_forgets_everything(light: Stack) -> None:
    light.start("redis")
    light.purge()
    assert pids(light) == {}
    assert not (light.home / "data").exists()
    with pytest.raises(StackError, match=r"never started.*headrace stack up"):
        light.address("redis")
    light.start("redis")
    assert ask_redis(light, "DBSIZE") == b":0\r\n"


def test_two_at_once_start_each_server_once(tmp_path: Path, light: Stack) -> None:
    command = [sys.executable, "-m", "headrace", "stack", "up", *LIGHT, "--home", str(light.home), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = [{row["name"]: row["pid"] for row in json.loads(out)["servers"]} for out, _ in said]
    assert found[0] == found[1]
    assert {name: found[0][name] for name in LIGHT} == pids(light)
    assert sorted(err.count("starts") for _, err in said) == [0, 2]


def test_a_process_that_got_its_pid_is_left_alone(light: Stack, tmp_path: Path) -> None:
    light.start("redis")
    ours = light.started()["redis"]
    stranger = launch(["sleep", "600"], tmp_path / "log", {}, tmp_path)
    record = light.home / "run" / "redis.json"
    replace(stranger, started=stranger.started - 1).write(record)
    try:
        with pytest.raises(StackError, match="does not run"):
            light.kill("redis")
        light.stop("redis")
        assert stranger.alive()
    finally:
        stranger.kill()
        ours.kill()


def test_a_port_that_was_taken_meanwhile_is_replaced(light: Stack) -> None:
    light.start(*LIGHT)
    light.stop()
    before = tomllib.loads(light.profile.read_text())["ports"]
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", before["redis"]))
        thief.listen()
        light.start(*LIGHT)
    after = tomllib.loads(light.profile.read_text())["ports"]
    assert {name for name in before if before[name] != after[name]} == {"redis"}


def test_a_port_that_others_know_is_not_replaced(light: Stack) -> None:
    light.start(*LIGHT)
    light.stop("redis")
    port = tomllib.loads(light.profile.read_text())["ports"]["redis"]
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        with pytest.raises(StackError, match=f"redis: another process listens on its port {port}"):
            light.start("redis")


def test_a_server_that_cannot_start_shows_the_end_of_its_log(light: Stack) -> None:
    light.start("alertmanager")
    light.stop()
    (light.home / "config" / "alertmanager" / "alertmanager.yml").write_text("route: nonsense")
    with pytest.raises(StackError, match=r"(?s)alertmanager: it ended.*cannot unmarshal.*headrace stack doctor"):
        light.start("alertmanager")


def test_status_tells_who_answers(light: Stack) -> None:
    light.start(*LIGHT)
    rows = {row.name: row for row in light.status()}
    assert set(rows) == set(SERVERS)
    assert [name for name, row in rows.items() if row.healthy] == ["redis", "alertmanager"]
    assert all((row.pid is None) == (name not in LIGHT) for name, row in rows.items())
    assert rows["redis"].memory > 1 << 20
    assert rows["kafka-1"].problem == "it does not run"
    json.dumps([asdict(row) for row in rows.values()])


def test_a_paused_server_runs_and_does_not_answer(light: Stack) -> None:
    light.start("redis")
    light.pause("redis")
    (row,) = light.status("redis")
    assert row.pid is not None
    assert not row.healthy
    light.resume("redis")
    assert light.status("redis")[0].healthy


def test_a_paused_server_is_stopped_all_the_same(light: Stack) -> None:
    light.start("redis")
    light.pause("redis")
    light.stop("redis")
    assert pids(light) == {}


def test_postgres_belongs_to_its_user_and_keeps_its_databases(light: Stack) -> None:
    home = Path("/tmp") / f"headrace-postgres-{os.getpid()}"
    home.mkdir(mode=0o755)
    stack = Stack(home)
    if SERVERS["postgres"].package is None or SERVERS["postgres"].package.path() is None:
        pytest.skip("no PostgreSQL here")
    import psycopg

    try:
        stack.start("postgres")
        uid = Path(f"/proc/{pids(stack)['postgres']}").stat().st_uid
        assert uid != 0
        with psycopg.connect(stack.address("postgres")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        stack.kill("postgres")
        stack.start("postgres")
        with psycopg.connect(stack.address("postgres")) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
        assert {"headrace", "registry"} <= {name for (name,) in names}
    finally:
        stack.purge()
        shutil.rmtree(home)


def test_what_is_asked_to_stop_is_asked_as_it_likes(light: Stack) -> None:
    """PostgreSQL would wait for its clients on SIGTERM."""
    assert SERVERS["postgres"].farewell == signal.SIGINT
    assert SERVERS["redis"].farewell == signal.SIGTERM
