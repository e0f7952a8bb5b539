"""The project's own Java: compiled against Flink's jars when it changed, and put on Flink's classpath."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from headrace.errors import StackError
from headrace.stack.java import Jdk

SOURCES: Final = Path(__file__).parents[1] / "stream" / "flink" / "java"
"""Every .java below it is compiled; every other file is a resource, such as META-INF/services."""


def flink_jar(sources: Path, classpath: Path, jdk: Jdk, cache: Path) -> Path | None:
    """`headrace-flink-<hash of the sources>.jar` in the cache; None when there are no sources.

    classpath: a folder of jars. Errors: StackError with what javac said, or when there is no javac.
    """
    files = sorted(path for path in sources.rglob("*") if path.is_file())
    java = [path for path in files if path.suffix == ".java"]
    if not java:
        return None
    jar = cache / f"headrace-flink-{_digest(sources, files, classpath)}.jar"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "headrace-flink.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jar.exists():
            _build(jar, sources, files, java, classpath, jdk)
    return jar


def _build(jar: Path, sources: Path, files: list[Path], java: list[Path], classpath: Path, jdk: Jdk) -> None:
    if not jdk.javac.is_file():
        raise StackError(
            "javac", f"{jdk.home} holds no compiler", f"apt-get install openjdk-{jdk.version}-jdk-headless"
        )
    with tempfile.TemporaryDirectory(dir=jar.parent) as folder:
        classes = Path(folder) / "classes"
        options = ["--release", "17", "-encoding", "UTF-8", "-nowarn", "-proc:none", "-cp", f"{classpath}/*"]
        command = [str(jdk.javac), *options, "-d", str(classes), *map(str, java)]
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode:
            raise StackError(f"Java in {sources}", run.stderr.strip(), "correct the source")
        part = Path(folder) / "part.jar"
        resources = {path.relative_to(sources).as_posix(): path for path in files if path.suffix != ".java"}
        compiled = {path.relative_to(classes).as_posix(): path for path in classes.rglob("*.class")}
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, path in sorted({**resources, **compiled}.items()):
                packed.write(path, name)
        part.replace(jar)


def _digest(sources: Path, files: list[Path], classpath: Path) -> str:
    """Of names and bytes; Flink's version is part of it through the classpath's name."""
    digest = hashlib.sha256(classpath.name.encode())
    for path in files:
        digest.update(f"\0{path.relative_to(sources).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
