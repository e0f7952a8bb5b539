"""Java: every JDK of this machine, and the right one for each server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import StackError

_PLACES: Final = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/usr/local/*j*",
    "/opt/*",
    "/opt/*/*",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
)


@dataclass(frozen=True, order=True)
class Jdk:
    """version: the feature release, such as 17."""

    version: int
    home: Path

    @property
    def java(self) -> Path:
        return self.home / "bin" / "java"

    @property
    def javac(self) -> Path:
        return self.home / "bin" / "javac"


def find_jdks() -> list[Jdk]:
    """Each JDK once, the oldest first; those that cannot compile are left out where a twin can."""
    homes = {home.resolve() for home in _homes() if (home / "bin" / "java").is_file()}
    found = [Jdk(version, home) for home in homes if (version := _version(home)) is not None]
    return sorted(found, key=lambda jdk: (jdk.version, not jdk.javac.is_file(), str(jdk.home)))


def choose_jdk(least: int, purpose: str, jdks: Sequence[Jdk]) -> Jdk:
    """The oldest that is new enough: what the server was most likely tested on.

    >>> choose_jdk(21, "the registry", [Jdk(17, Path("/a")), Jdk(21, Path("/b")), Jdk(25, Path("/c"))]).version
    21
    """
    for jdk in jdks:
        if jdk.version >= least:
            return jdk
    there = ", ".join(str(jdk.version) for jdk in jdks) or "none"
    raise StackError(
        "Java",
        f"{purpose} needs Java {least} or newer, and there is {there}",
        f"install a JDK {least} or newer, and set JAVA_HOME to it if it is in no usual place",
    )


def _homes() -> Iterator[Path]:
    for variable in ("JAVA_HOME", "JDK_HOME"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    for place in _PLACES:
        pattern = Path(place).expanduser()
        yield from Path("/").glob(str(pattern.relative_to("/")))


def _version(home: Path) -> int | None:
    """From the file that a JDK ships, else by asking it; None for what does not run."""
    release = home / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    if match is None:
        try:
            run = subprocess.run(
                [str(home / "bin" / "java"), "-version"], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        match = re.search(r'version "(?:1\.)?(\d+)', run.stderr)
    return int(match[1]) if match else None
