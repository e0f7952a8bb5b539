"""MLflow's tracking server on PostgreSQL, as the cluster profile has it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.stack import Stack


@pytest.fixture(scope="session")
def tracking_server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the folder of its artifacts."""
    stack.start("postgres")
    home = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    name, artifacts = f"mlflow{os.getpid()}", home / "artifacts"
    address = stack.address("postgres").replace("postgresql://", "postgresql+psycopg://")
    server = address.rpartition("/")[0]
    _query(stack.address("postgres"), f"CREATE DATABASE {name}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1", "--backend-store-uri", f"{server}/{name}",
               "--artifacts-destination", str(artifacts)]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=home, env=environment, start_new_session=True
        )
    uri, until = f"http://127.0.0.1:{port}", time.monotonic() + 240
    while not _answers(f"{uri}/health"):
        assert process.poll() is None, (home / "log").read_text()[-3000:]
        assert time.monotonic() < until, "mlflow server does not answer"
        time.sleep(0.2)
    yield uri, artifacts
    os.killpg(process.pid, 15)
    process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _query(address: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)
