"""The application in a real server on the loopback: what only a network can do to it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from headrace.errors import ServingError
from headrace.serving.app import create_app
from headrace.serving.predictor import Loaded
from headrace.serving.requests import BYTES
from headrace.serving.server import serve


def exchange(address: str, *parts: bytes) -> bytes:
    """What the server answers to bytes, until it closes."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        return answer


def head(**headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /predict HTTP/1.1", "host: x", *lines, "", ""]).encode()


def test_what_only_a_network_can_do(demand: Any, fake_model: Any, listen: Callable[[Any], Any]) -> None:
    demand.predictor.swap(Loaded("1", fake_model()))
    with listen(create_app(demand.declaration, demand.predictor)) as address:
        # A body that is announced too large is refused before it is sent.
        announced = head(content_type="application/json", content_length=str(BYTES + 1), connection="close")
        assert b" 413 " in exchange(address, announced)[:20]
        # A length that is none is refused by the server itself.
        assert b" 400 " in exchange(address, head(content_type="application/json", content_length="-5"))[:20]
        # A caller that leaves in the middle of its body disturbs nobody.
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head(content_type="application/json", content_length="50") + b'{"category"')
        # In pieces, without a length.
        body = json.dumps(demand.known).encode()
        pieces = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in (body[:5], body[5:])]
        chunked = head(content_type="application/json", transfer_encoding="chunked", connection="close")
        assert b" 200 " in exchange(address, chunked, *pieces, b"0\r\n\r\n")[:20]
        # Many rows go to the worker, and one connection serves request after request.
        with httpx.Client(base_url=address) as client:
            for _ in range(3):
                answer = client.post("/predict", json={"rows": [demand.known] * 300})
                assert len(answer.json()["predictions"]) == 300
            assert client.post("/predict", json={"rows": [demand.known] * 1_001}).status_code == 413
            assert client.get("/readyz").status_code == 200


def test_a_port_that_is_taken(demand: Any) -> None:
    app = create_app(demand.declaration, demand.predictor)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServingError, match="cannot listen"):
        serve(app, threading.Event(), port=taken.getsockname()[1])


def test_it_ends_when_told_before_it_began(demand: Any) -> None:
    stop = threading.Event()
    stop.set()
    ports: list[int] = []
    serve(create_app(demand.declaration, demand.predictor), stop, port=0, bound=ports.append)
    assert len(ports) == 1
    assert ports[0] > 0
