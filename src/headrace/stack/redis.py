"""Redis: the online store. Its log is flushed each second, so a kill loses at most the last one."""

from __future__ import annotations

import socket

from headrace.stack.packages import REDIS
from headrace.stack.place import Place
from headrace.stack.ports import LOOPBACK
from headrace.stack.server import Launch, NotReady, Server


class Redis(Server):
    name = "redis"
    ports = ("redis",)
    package = REDIS
    memory = 100

    def launch(self, place: Place) -> Launch:
        settings = {
            "port": str(place.ports[self.name]),
            "bind": LOOPBACK,
            "dir": str(place.data(self.name)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        return Launch((str(REDIS.program()), *options))

    def ask(self, place: Place) -> None:
        """While it loads its log it answers LOADING instead of PONG."""
        try:
            with socket.create_connection((LOOPBACK, place.ports[self.name]), 5.0) as connection:
                connection.sendall(b"PING\r\n")
                said = connection.recv(100)
        except OSError as error:
            raise NotReady(f"no answer: {error}") from error
        if said != b"+PONG\r\n":
            raise NotReady(f"it answers {said.decode(errors='replace').strip()!r}")

    def address(self, place: Place) -> str:
        return f"redis://{place.address(self.name)}/0"
