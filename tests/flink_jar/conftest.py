"""The jar, compiled once for its sources, and Java programs that drive it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "headrace" / "stream" / "flink" / "java"
PROGRAMS = Path(__file__).parent / "java"


class Program:
    """A Java program that answers each line of JSON with one."""

    def __init__(self, classpath: str, *command: str) -> None:
        options = ["-Xmx768m", "-XX:TieredStopAtLevel=4", "-Duser.timezone=Pacific/Auckland"]
        opened = [f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("lang", "util", "time", "nio")]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            ["java", *options, *opened, "-cp", classpath, *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", stderr=self._log,
        )  # fmt: skip

    def ask(self, question: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, f"the program ended: {self._said()}"
        return json.loads(line)

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Registry:
    """A registry that speaks as much of the Confluent API as a reader asks, and fails on demand.

    The four ids are answered with 500, not at all, with a 404 of another kind, and with a schema that is not Avro.
    """

    BROKEN, SILENT, LOST, STRANGE = 500, 501, 502, 503

    def __init__(self) -> None:
        self.schemas: dict[int, Any] = {}
        self.asked: list[tuple[int, str | None]] = []
        self._silence = threading.Event()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                schema_id = int(self.path.removeprefix("/api/schemas/ids/"))
                registry.asked.append((schema_id, self.headers["Authorization"]))
                if schema_id == registry.SILENT:
                    registry._silence.wait()
                status, body = registry._answer(schema_id)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._server.handle_error = lambda *arguments: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_port}/api"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _answer(self, schema_id: int) -> tuple[int, dict[str, Any]]:
        if schema_id == self.BROKEN:
            return 500, {"error_code": 50001, "message": "its store is away"}
        if schema_id == self.LOST:
            return 404, {"error_code": 404, "message": "no such page"}
        if schema_id == self.STRANGE:
            return 200, {"schema": "{'syntax': proto3"}
        if schema_id not in self.schemas:
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, {"schema": json.dumps(self.schemas[schema_id])}

    def close(self) -> None:
        self._silence.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    started = Registry()
    yield started
    started.close()


@pytest.fixture(scope="session")
def flink_jars() -> Path:
    """The folder of Flink's jars, as `headrace stack` fetches them."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("HEADRACE_STACK") or Path(base) / "headrace" / "stack")
    found = sorted(cache.glob("flink-*/flink-table-common-*.jar"), key=lambda jar: jar.stat().st_mtime)
    if not found:
        pytest.fail(f"no Flink in {cache}. To mend it: fetch it with `headrace stack up`", pytrace=False)
    return found[-1].parent


@pytest.fixture(scope="session")
def classpath(flink_jars: Path, pytestconfig: pytest.Config) -> str:
    """The jar's classes and the test programs, compiled when they changed, and Flink."""
    if shutil.which("javac") is None:
        pytest.fail("no javac on PATH. To mend it: install a JDK of Java 17 or newer", pytrace=False)
    files = sorted(path for folder in (SOURCES, PROGRAMS) for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256(str(flink_jars).encode())
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    classes = pytestconfig.cache.mkdir("flink_jar") / digest.hexdigest()[:12]
    if not (classes / "META-INF").exists():
        java = [str(path) for path in files if path.suffix == ".java"]
        options = ["--release", "17", "-proc:none", "-nowarn", "-cp", f"{flink_jars}/*", "-d", str(classes)]
        run = subprocess.run(["javac", *options, *java], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        shutil.copytree(SOURCES / "META-INF", classes / "META-INF")
    return f"{classes}:{flink_jars}/*"


@pytest.fixture(scope="module")
def program(classpath: str) -> Iterator[Callable[..., Program]]:
    """Starts a program; it ends with the module."""
    started: list[Program] = []

    def start(*command: str) -> Program:
        started.append(Program(classpath, *command))
        return started[-1]

    yield start
    for each in started:
        each.close()
