from __future__ import annotations

from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack import java
from headrace.stack.java import Jdk, choose_jdk, find_jdks


def make_jdk(home: Path, release: str | None = None, version: str = "") -> Path:
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    if release is not None:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{release}"\n')
    return home


@pytest.fixture
def jdks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with these JDKs only."""
    make_jdk(tmp_path / "jvm" / "old", release="1.8.0_402")
    make_jdk(tmp_path / "jvm" / "default", release="17.0.15")
    make_jdk(tmp_path / "opt" / "new", version="25.0.3")  # no release file: it is asked
    (tmp_path / "jvm" / "link").symlink_to(tmp_path / "jvm" / "default")
    (tmp_path / "jvm" / "no-jdk").mkdir()
    monkeypatch.setattr(java, "_PLACES", (str(tmp_path / "jvm/*"), str(tmp_path / "opt/*")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def test_each_jdk_is_found_once(jdks: Path) -> None:
    assert [jdk.version for jdk in find_jdks()] == [8, 17, 25]


def test_java_home_counts_wherever_it_is(jdks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_jdk(jdks / "somewhere" / "else", release="21")))
    assert [jdk.version for jdk in find_jdks()] == [8, 17, 21, 25]


def test_what_does_not_run_is_no_jdk(jdks: Path) -> None:
    make_jdk(jdks / "jvm" / "broken", version="?")
    (make_jdk(jdks / "jvm" / "unreadable") / "bin" / "java").write_bytes(b"\x00")
    assert [jdk.version for jdk in find_jdks()] == [8, 17, 25]


def test_the_oldest_that_is_new_enough_is_chosen(jdks: Path) -> None:
    assert choose_jdk(17, "Flink", find_jdks()).home == jdks / "jvm" / "default"
    assert choose_jdk(21, "the registry", find_jdks()).home == jdks / "opt" / "new"


def test_an_old_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"the registry needs Java 21 or newer, and there is 17\..*JAVA_HOME"):
        choose_jdk(21, "the registry", [Jdk(17, tmp_path)])


def test_one_that_compiles_comes_before_one_that_does_not(jdks: Path) -> None:
    (make_jdk(jdks / "opt" / "full", release="17.0.1") / "bin" / "javac").write_text("")
    assert choose_jdk(17, "Flink", find_jdks()).home == jdks / "opt" / "full"
