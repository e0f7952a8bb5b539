"""Asking a server that goes away: the same request again, under the same name, until it is answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest

from headrace.errors import RoleError
from headrace.replay.askers import ROWS, Asking
from headrace.replay.patience import Patience


class Server(ThreadingHTTPServer):
    """Answers with a version. Every second prediction that is asked for is cut off instead."""

    version, status = "1", 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, int]] = []
        self.looks = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.looks += 1
        self.answer({"version": self.server.version if self.server.looks > 2 else "0"})

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
        self.server.asked.append((self.headers["idempotency-key"], len(rows)))
        if len(self.server.asked) % 2 == 0:
            self.answer({}, self.server.status)

    def answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_request_that_was_cut_off_is_asked_again_under_its_name(server: Server) -> None:
    asking = Asking(server.address, ["page"], lambda: "1", Patience(30))
    table = pa.table({"page": [f"p{place}" for place in range(ROWS + 5)], "other": range(ROWS + 5)})
    assert asking.post(table, 7) == ROWS + 5
    asking.close()
    first, rest = ("7/0", ROWS), (f"7/{ROWS}", 5)
    assert server.asked == [first, first, rest, rest]


def test_a_refusal_ends_the_replay(server: Server) -> None:
    server.status = 503
    asking = Asking(server.address, ["page"], lambda: "1", Patience(30))
    with pytest.raises(RoleError, match="it answered 503"):
        asking.post(pa.table({"page": ["p"]}), 7)
    asking.close()


def test_a_server_that_never_has_the_champion_is_named(server: Server) -> None:
    asking = Asking(server.address, ["page"], lambda: "2", Patience(2.0))
    with pytest.raises(RoleError, match="serve: not version 2"):
        asking.post(pa.table({"page": ["p"]}), 7)
    asking.close()
    assert server.asked == []
