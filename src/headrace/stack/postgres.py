"""PostgreSQL: tables, the schema registry's storage, whatever else wants a database."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from headrace.errors import StackError
from headrace.stack.packages import POSTGRES
from headrace.stack.place import Place
from headrace.stack.ports import LOOPBACK
from headrace.stack.server import Launch, NotReady, Server

USER: Final = "headrace"
DATABASES: Final = ("headrace", "registry")


class Postgres(Server):
    name = "postgres"
    ports = ("postgres",)
    package = POSTGRES
    memory = 150
    farewell = signal.SIGINT
    """Fast shutdown; SIGTERM would wait for every client to leave."""

    def launch(self, place: Place) -> Launch:
        folder = place.data(self.name)
        data = folder / "cluster"
        self._give(folder)
        if not (data / "PG_VERSION").exists():
            shutil.rmtree(data, ignore_errors=True)
            self._run("initdb", "-D", str(data), "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8")
        settings = {
            "port": place.ports[self.name],
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": folder,
            "max_connections": 100,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Launch((*_as_user(), str(_binary("postgres")), "-D", str(data), *options))

    def ask(self, place: Place) -> None:
        self._query(place, "postgres", "SELECT 1")

    def settle(self, place: Place) -> None:
        there = self._query(place, "postgres", "SELECT datname FROM pg_database").split()
        for name in DATABASES:
            if name not in there:
                self._query(place, "postgres", f"CREATE DATABASE {name}")

    def address(self, place: Place) -> str:
        """The password is not asked for; some clients want one all the same."""
        return f"postgresql://{USER}:{USER}@{place.address(self.name)}/{DATABASES[0]}"

    def _give(self, folder: Path) -> None:
        """PostgreSQL does not run as root: the folder goes to the user postgres, who must be able to reach it."""
        if os.geteuid() != 0:
            return
        owner = postgres_user()
        shutil.chown(folder, owner.pw_uid, owner.pw_gid)
        closed = closed_folder(folder)
        if closed is not None:
            raise StackError(
                self.name,
                f"it must not run as root, and the user postgres cannot enter {closed}",
                f"choose another --home, or chmod o+x {closed}",
            )

    def _query(self, place: Place, database: str, statement: str) -> str:
        where = ["-h", LOOPBACK, "-p", str(place.ports[self.name]), "-U", USER, "-d", database]
        command = [str(_binary("psql")), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where, "-c", statement]
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PGCONNECT_TIMEOUT": "5"},
        )
        if run.returncode:
            raise NotReady(run.stderr.strip())
        return run.stdout

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_user(), str(_binary(program)), *arguments]
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/")
        if run.returncode:
            raise StackError(self.name, f"{program} failed: {run.stderr.strip()[-400:]}", "headrace stack doctor")


def postgres_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError as error:
        raise StackError(
            "postgres",
            "it must not run as root, and there is no user postgres",
            "adduser --system --group postgres",
        ) from error


def closed_folder(folder: Path) -> Path | None:
    """The first folder on the way that the user postgres cannot enter."""
    uid, gid = postgres_user().pw_uid, postgres_user().pw_gid
    for parent in reversed([folder, *folder.parents]):
        if not parent.exists():
            return None
        found = parent.stat()
        bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid == gid else 0o001
        if not found.st_mode & bit:
            return parent
    return None


def _as_user() -> list[str]:
    """Replaces itself, so that the pid is the server's."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


def _binary(name: str) -> Path:
    return POSTGRES.program().parent / name
