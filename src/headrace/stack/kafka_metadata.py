"""Kafka's Metadata request over a plain socket: which nodes a broker sees, with no client library."""

from __future__ import annotations

import socket
import struct
from typing import Final

from headrace.stack.server import NotReady

_METADATA: Final = 3
_VERSION: Final = 7
"""The last but one before the flexible encoding; Kafka 2.1 to 4.x answer it."""
_NO_TOPICS: Final = 0


def read_nodes(host: str, port: int, timeout: float = 5.0) -> set[int]:
    """Ids of the brokers that are alive in the eyes of this one."""
    client = b"headrace-stack"
    body = struct.pack(f">hhih{len(client)}si?", _METADATA, _VERSION, 1, len(client), client, _NO_TOPICS, False)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", _exactly(connection, 4))[0]
            return _node_ids(_exactly(connection, size))
    except OSError as error:
        raise NotReady(f"Kafka at {host}:{port} does not answer: {error}") from error


def _node_ids(answer: bytes) -> set[int]:
    """correlation, throttle, then an array of (node id, host, port, rack)."""
    (count,) = struct.unpack_from(">i", answer, 8)
    at, nodes = 12, set()
    for _ in range(count):
        node, host = struct.unpack_from(">ih", answer, at)
        at += 6 + host + 4
        (rack,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack, 0)
        nodes.add(node)
    return nodes


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("it closed the connection")
        parts += part
    return bytes(parts)
