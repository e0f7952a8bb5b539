from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack.flink_jar import flink_jar
from headrace.stack.java import Jdk, find_jdks

INTERFACE = "package base; public interface Named { String name(); }"
SERVICE = """\
package mine;

public class Factory implements base.Named {
    public String name() { return "mine"; }
}
"""


@pytest.fixture(scope="module")
def jdk() -> Jdk:
    for jdk in find_jdks():
        if jdk.version >= 17 and jdk.javac.is_file():
            return jdk
    pytest.skip("no JDK 17 or newer with a compiler")


@pytest.fixture
def library(tmp_path: Path, jdk: Jdk) -> Path:
    """A folder of jars that the sources are compiled against."""
    folder = tmp_path / "library"
    classes = tmp_path / "base"
    classes.mkdir()
    folder.mkdir()
    (classes / "Named.java").write_text(INTERFACE)
    subprocess.run([jdk.javac, "-d", str(classes), str(classes / "Named.java")], check=True)
    with zipfile.ZipFile(folder / "base.jar", "w") as packed:
        packed.write(classes / "base" / "Named.class", "base/Named.class")
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "java"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "Factory.java").write_text(SERVICE)
    (folder / "META-INF" / "services").mkdir(parents=True)
    (folder / "META-INF" / "services" / "base.Named").write_text("mine.Factory\n")
    return folder


def test_classes_and_services_are_in_the_jar(sources: Path, library: Path, jdk: Jdk, tmp_path: Path) -> None:
    jar = flink_jar(sources, library, jdk, tmp_path / "cache")
    assert jar is not None
    with zipfile.ZipFile(jar) as packed:
        assert packed.namelist() == ["META-INF/services/base.Named", "mine/Factory.class"]
    asked = tmp_path / "Ask.java"
    asked.write_text(
        "public class Ask { public static void main(String[] a) {"
        " for (var n : java.util.ServiceLoader.load(base.Named.class)) System.out.println(n.name()); } }"
    )
    command = [jdk.java, "-cp", f"{jar}:{library / 'base.jar'}", str(asked)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "mine\n"


def test_it_is_built_once_and_again_when_a_file_changes(
    sources: Path, library: Path, jdk: Jdk, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = flink_jar(sources, library, jdk, cache)
    assert first is not None
    built = first.stat().st_mtime_ns
    assert flink_jar(sources, library, jdk, cache) == first
    assert first.stat().st_mtime_ns == built
    (sources / "META-INF" / "services" / "base.Named").write_text("# nobody\n")
    assert flink_jar(sources, library, jdk, cache) != first


def test_without_sources_there_is_no_jar(tmp_path: Path, jdk: Jdk) -> None:
    assert flink_jar(tmp_path / "nowhere", tmp_path, jdk, tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


def test_what_javac_says_is_passed_on(sources: Path, library: Path, jdk: Jdk, tmp_path: Path) -> None:
    (sources / "mine" / "Factory.java").write_text(SERVICE.replace("base.Named", "base.Other"))
    with pytest.raises(StackError, match=r"Factory\.java:3: error"):
        flink_jar(sources, library, jdk, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.jar"))


def test_a_java_without_a_compiler_is_named(sources: Path, library: Path, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="openjdk-17-jdk"):
        flink_jar(sources, library, Jdk(17, tmp_path), tmp_path / "cache")


def test_the_sources_travel_with_the_package_in_a_copy(
    sources: Path, library: Path, jdk: Jdk, tmp_path: Path
) -> None:
    """The name depends on what is in the folder, never on where it lies or when it was written."""
    copy = shutil.copytree(sources, tmp_path / "elsewhere")
    assert flink_jar(copy, library, jdk, tmp_path / "cache") == flink_jar(sources, library, jdk, tmp_path / "cache")
