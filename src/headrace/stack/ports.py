"""Ports: chosen once for a home, kept while they are free."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_RANGE: Final = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that none of these takes a stopped server's."""


def is_free(port: int) -> bool:
    """Whether a server could listen there now; a connection that lingers after its server does not matter."""
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def listens(port: int) -> bool:
    """Whether a server accepts connections there."""
    try:
        socket.create_connection((LOOPBACK, port), 2.0).close()
    except OSError:
        return False
    return True


def choose_ports(names: Sequence[str], kept: Mapping[str, int], held: Collection[str] = ()) -> dict[str, int]:
    """A port for each name: the kept one where it is free or held by our own server, else another."""
    ports = {name: kept[name] for name in names if name in kept and (name in held or is_free(kept[name]))}
    candidates = random.sample(_RANGE, len(_RANGE))
    for name in names:
        while name not in ports:
            port = candidates.pop()
            if port not in ports.values() and is_free(port):
                ports[name] = port
    return {name: ports[name] for name in names}
