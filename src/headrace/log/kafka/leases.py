"""Which process is a role's writer."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """A process. host: its name and boot, so that a pid means one process. started: in ticks; 0 where unknown."""

    host: str
    pid: int
    started: int

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(_host(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def of(cls, value: object) -> Holder | None:
        """From what `record` gave; None from anything else."""
        match value:
            case {"host": str(host), "pid": int(pid), "started": int(started)}:
                return cls(host, pid, started)
        return None

    def record(self) -> dict[str, object]:
        return asdict(self)

    def alive_here(self) -> bool:
        """Whether it runs on this host. (Of another host's processes nobody can tell: Kafka fences them.)"""
        return self.host == _host() and _started(self.pid) == self.started


def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else ''}"


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None where it does not run (a zombie does not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return None
        return _signalled(pid)
    return None if fields[0] == "Z" else int(fields[19])


def _signalled(pid: int) -> int | None:
    """0 for a process that runs, where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
