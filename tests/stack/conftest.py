from __future__ import annotations

from pathlib import Path

import pytest

from headrace.stack.java import Jdk
from headrace.stack.place import Place
from headrace.stack.servers import PORTS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Ports from 20001 on, a JDK 17 and a JDK 25 that do not exist."""
    monkeypatch.setattr("headrace.stack.flink.SOURCES", tmp_path / "none")  # those JDKs compile nothing
    ports = {name: 20_001 + number for number, name in enumerate(PORTS)}
    return Place(tmp_path / "home", tmp_path / "cache", ports, [Jdk(17, Path("/j17")), Jdk(25, Path("/j25"))])
