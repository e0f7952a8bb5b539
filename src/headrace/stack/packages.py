"""Debian packages: the one list of what apt installs, for the stack and for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import StackError


@dataclass(frozen=True)
class Package:
    """name: Debian's. binary: its program; where: folders beside PATH that may hold it, as globs under /."""

    name: str
    binary: str
    where: tuple[str, ...] = ("usr/bin", "usr/sbin", "usr/local/bin")

    def path(self) -> Path | None:
        """The program, the newest where there are several; None when it is not installed."""
        found = [file for glob in self.where for file in sorted(Path("/").glob(f"{glob}/{self.binary}"))]
        if found:
            return found[-1]
        on_path = shutil.which(self.binary)
        return Path(on_path).resolve() if on_path else None

    def program(self) -> Path:
        path = self.path()
        if path is None:
            raise StackError(self.name, f"there is no {self.binary}", f"apt-get install {self.name}")
        return path


POSTGRES: Final = Package("postgresql", "pg_ctl", ("usr/lib/postgresql/*/bin",))
REDIS: Final = Package("redis-server", "redis-server")
PROMETHEUS: Final = Package("prometheus", "prometheus")
ALERTMANAGER: Final = Package("prometheus-alertmanager", "prometheus-alertmanager")
MAVEN: Final = Package("maven", "mvn")
CHROMIUM: Final = Package("chromium", "chromium")
"""For the tests alone: they open reports in it."""


def install(packages: Sequence[Package]) -> list[str]:
    """Installs by apt those whose program is not there, and names them.

    Errors: StackError where there is no apt or no right to use it, or apt fails.
    """
    names = [package.name for package in packages if package.path() is None]
    if not names:
        return []
    by_hand = f"apt-get install {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise StackError(", ".join(names), "not installed, and there is no apt-get here", "install them by hand")
    as_root: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise StackError(", ".join(names), "not installed, and this user is not root", f"as root: {by_hand}")
        as_root = ["sudo", "-n"]
    quiet = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    for command in ([*quiet, "update"], [*quiet, "install", "-y", "--no-install-recommends", *names]):
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode:
            said = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:]
            raise StackError(", ".join(names), f"apt-get failed: {' '.join(said)}", f"as root: {by_hand}")
    return names
