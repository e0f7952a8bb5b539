"""The doctor: known failures, each with its exact mend. It changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import StackError
from headrace.stack.jars import JarSet
from headrace.stack.java import Jdk, choose_jdk
from headrace.stack.packages import MAVEN
from headrace.stack.ports import is_free
from headrace.stack.postgres import closed_folder
from headrace.stack.server import NotReady, Server
from headrace.stack.servers import GROUPS, SERVERS
from headrace.stack.stack import Stack, Status
from headrace.stack.web import get_json

_DISK: Final = 2 << 30
"""Bytes that must be free: checkpoints and logs grow by themselves."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with what, and the command or action that mends it."""

    subject: str
    cause: str
    remedy: str


def examine(stack: Stack) -> list[Finding]:
    """Everything that is wrong here; a server that was never started, or stopped, is not."""
    servers = list(SERVERS.values())
    found = [
        *wrong_java(servers, stack.jdks),
        *missing_packages(servers),
        *broken_jars(servers, stack.cache),
        *full_disk(stack.home),
        *forbidden_root(stack.home, servers),
    ]
    started = stack.started()
    running = {name for name, process in started.items() if process.alive()}
    found += little_memory([server for server in servers if server.name not in running], _available_memory())
    if stack.profile.is_file():
        found += taken_ports(stack, [server for server in servers if server.name not in running])
        found += ended(stack, started.keys() - running)
        rows = stack.status(*running) if running else []
        found += unwell(stack, rows)
        found += lost_node(stack, running)
        found += idle_gateway(stack, running)
    return found


def wrong_java(servers: Sequence[Server], jdks: Sequence[Jdk]) -> Iterator[Finding]:
    needs = {server.java: server.name for server in servers if server.java}
    for least, name in needs.items():
        try:
            choose_jdk(least, name, jdks)
        except StackError as error:
            yield _of(error)


def missing_packages(servers: Sequence[Server]) -> Iterator[Finding]:
    for package in dict.fromkeys(server.package for server in servers if server.package):
        if package.path() is None:
            yield Finding(package.name, f"there is no {package.binary}", f"apt-get install {package.name}")


def broken_jars(servers: Sequence[Server], cache: Path) -> Iterator[Finding]:
    for jars in dict.fromkeys(server.jars for server in servers if server.jars):
        yield from _broken(jars, cache)


def _broken(jars: JarSet, cache: Path) -> Iterator[Finding]:
    folder, missing = jars.folder(cache), jars.missing(cache)
    if missing:
        some = f"{len(missing)} files are missing in {folder}, such as {missing[0]}"
        if MAVEN.path() is None:
            yield Finding(f"jars of {jars.name}", f"{some}, and there is no mvn", "apt-get install maven")
        else:
            yield Finding(f"jars of {jars.name}", some, "headrace stack install")
    elif corrupt := jars.corrupt(folder):
        yield Finding(
            f"jars of {jars.name}",
            f"{corrupt[0]} in {folder} is not what was checked when it was fetched",
            f"rm -r {folder} && headrace stack install",
        )


def full_disk(home: Path, least: int = _DISK) -> Iterator[Finding]:
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < least:
        yield Finding(
            f"disk of {folder}",
            f"{free >> 20} MiB are free, and {least >> 20} are needed",
            "free some, or choose another --home; `headrace stack down --purge` drops this stack's data",
        )


def little_memory(stopped: Sequence[Server], available: int) -> Iterator[Finding]:
    """available: bytes."""
    needed = sum(server.memory for server in stopped)
    if available >> 20 < needed:
        yield Finding(
            "memory",
            f"{available >> 20} MiB are available, and what does not run yet needs about {needed}",
            "end other programs, or start fewer servers: `headrace stack up kafka registry`",
        )


def forbidden_root(home: Path, servers: Sequence[Server]) -> Iterator[Finding]:
    if os.geteuid() != 0 or all(server.name != "postgres" for server in servers):
        return
    try:
        closed = closed_folder(home)
    except StackError as error:
        yield _of(error)
        return
    if closed is not None:
        yield Finding(
            "postgres",
            f"it must not run as root, and the user postgres cannot enter {closed}",
            f"choose another --home, or chmod o+x {closed}",
        )


def taken_ports(stack: Stack, stopped: Sequence[Server]) -> Iterator[Finding]:
    for server in stopped:
        for port in server.ports:
            number = stack.place.ports[port]
            if not is_free(number):
                yield Finding(
                    server.name,
                    f"another process listens on its port {number}",
                    f"end it (ss -ltnp 'sport = :{number}' names it), or "
                    f"{stack.command('down')} && {stack.command('up')}, which chooses another port",
                )


def ended(stack: Stack, names: Collection[str]) -> Iterator[Finding]:
    for name in sorted(names):
        cause = f"it ended by itself; its last words are in {stack.log(name)}"
        yield Finding(name, cause, stack.command(f"up {name}"))


def unwell(stack: Stack, rows: Sequence[Status]) -> Iterator[Finding]:
    for row in rows:
        if not row.healthy:
            restart = f"{stack.command(f'down {row.name}')} && {stack.command(f'up {row.name}')}"
            yield Finding(row.name, f"it runs and does not answer: {row.problem}", restart)


def lost_node(stack: Stack, running: Collection[str]) -> Iterator[Finding]:
    nodes = GROUPS["kafka"]
    absent = [node for node in nodes if node not in running]
    if 0 < len(absent) < len(nodes):
        cause = f"{', '.join(absent)} of three is missing: the next that ends takes the quorum with it"
        yield Finding("kafka", cause, stack.command("up kafka"))


def idle_gateway(stack: Stack, running: Collection[str]) -> Iterator[Finding]:
    if "gateway" not in running:
        return
    try:
        workers = get_json(f"{stack.address('jobmanager')}/overview")["taskmanagers"]
    except NotReady as error:
        yield Finding("gateway", f"it has no job manager: {error}", stack.command("up flink"))
        return
    if workers == 0:
        yield Finding("gateway", "it has no task manager: jobs wait for slots", stack.command("up flink"))


def _of(error: StackError) -> Finding:
    return Finding(error.subject, error.cause, error.remedy)


def _available_memory() -> int:
    """Bytes that programs may still take, as the kernel estimates."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0
