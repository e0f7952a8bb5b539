"""Fixtures that several chapters share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The cluster profile's servers, none of which runs yet: `stack.start("kafka")` is what a test asks for.

    One for the whole session. A test may kill a server, and starts it again at its end. HEADRACE_TEST_STACK names
    the home of a stack that runs already, which is used instead and is left running.
    """
    given = os.environ.get("HEADRACE_TEST_STACK")
    if given:
        yield Stack(Path(given))
        return
    home = Path(tempfile.mkdtemp(prefix="headrace-stack-"))
    home.chmod(0o755)  # the user postgres passes through
    stack = Stack(home)
    try:
        stack.install()
    except StackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has not all servers: {error}")
        pytest.skip(f"not all servers are here: {error}")
    try:
        yield stack
    finally:
        stack.purge()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def kafka_servers(stack: Stack) -> str:
    """host:port of the three brokers, separated by commas."""
    stack.start("kafka")
    return stack.address("kafka")


@pytest.fixture(scope="session")
def registry_url(stack: Stack) -> str:
    """The address of the schema registry's Confluent API."""
    stack.start("registry")
    return stack.address("registry")


class RedisServer:
    """A Redis of a test's own, which flushes its log each second; it may be killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis-server is not on the PATH: install it, or set HEADRACE_TEST_REDIS=host:port")
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        flushed = ["--appendonly", "yes", "--appendfsync", "everysec"]
        self._process = subprocess.Popen(
            [program, *place, *flushed, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        """While it loads its log it answers LOADING instead of PONG; a password also means that it is there."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def lose(self, size: int) -> None:
        """Cuts bytes off the end of its log, as if the machine had gone before they were flushed."""
        [path] = self._folder.glob("appendonlydir/*.incr.aof")
        os.truncate(path, max(path.stat().st_size - size, 0))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts a Redis of the test's own, with further options of redis-server."""
    servers = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Gives the URL of an empty online store each time, in HEADRACE_TEST_REDIS or a Redis started here."""
    server, address = None, os.environ.get("HEADRACE_TEST_REDIS")
    if address is None:
        server = RedisServer(tmp_path_factory.mktemp("redis"))
        server.start()
        address = server.address
    prefixes: list[str] = []

    def url() -> str:
        prefixes.append(f"test-{uuid.uuid4().hex[:12]}:")
        return f"redis:{address}/0?prefix={prefixes[-1]}"

    yield url
    if server is not None:
        server.kill()
        return
    import redis

    with redis.Redis.from_url(f"redis://{address}/0") as client:
        for prefix in prefixes:
            for key in client.scan_iter(f"{prefix}*", 1_000):
                client.unlink(key)
