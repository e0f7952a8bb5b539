from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack.packages import Package, install

ABSENT = Package("absent-server", "absent-server-binary")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH; what is put there is there. `asked` holds what apt-get was asked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_what_is_there_is_not_installed_again(machine: Path) -> None:
    program(machine / ABSENT.binary, "true")
    program(machine / "apt-get", "exit 1")
    assert install([ABSENT]) == []
    assert ABSENT.program() == machine / ABSENT.binary


def test_the_newest_of_several_is_taken(machine: Path) -> None:
    for version in ("15", "16"):
        (machine / version / "bin").mkdir(parents=True)
        program(machine / version / "bin" / "server", "true")
    where = (str(machine / "*" / "bin").lstrip("/"),)
    assert Package("server", "server", where).path() == machine / "16" / "bin" / "server"


def test_without_apt_it_is_done_by_hand(machine: Path) -> None:
    with pytest.raises(StackError, match="absent-server: not installed, and there is no apt-get"):
        install([ABSENT])


def test_a_user_without_rights_is_told_what_root_types(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match="as root: apt-get install absent-server"):
        install([ABSENT])


def test_what_apt_says_is_passed_on(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "apt-get", "echo 'E: no such package' >&2; exit 100")
    (machine / "env").symlink_to("/usr/bin/env")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(StackError, match="E: no such package"):
        install([ABSENT])


def test_only_what_is_missing_is_asked_for(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "apt-get", f'echo "$@" >> {machine}/asked')
    (machine / "env").symlink_to("/usr/bin/env")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(machine / "there", "true")
    assert install([ABSENT, Package("there", "there")]) == ["absent-server"]
    assert (machine / "asked").read_text() == "-qq update\n-qq install -y --no-install-recommends absent-server\n"
