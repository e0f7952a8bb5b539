from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from headrace.stack.ports import choose_ports, is_free, listens


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_is_taken_while_somebody_listens(taken: int) -> None:
    assert not is_free(taken)
    assert listens(taken)


def test_a_connection_that_lingers_takes_no_port() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server of the stack does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the server's side closes first, and waits
        client.close()
    assert is_free(port)
    assert not listens(port)


def test_ports_are_distinct_and_kept() -> None:
    names = [f"server-{number}" for number in range(50)]
    ports = choose_ports(names, {})
    assert len(set(ports.values())) == 50
    assert choose_ports(names, ports) == ports


def test_a_taken_port_is_replaced_and_a_held_one_is_kept(taken: int) -> None:
    kept = choose_ports(["a", "b"], {}) | {"a": taken}
    assert choose_ports(["a", "b"], kept, held=["a"]) == kept
    chosen = choose_ports(["a", "b"], kept)
    assert chosen["a"] != taken
    assert chosen["b"] == kept["b"]


def test_a_new_server_gets_a_port_beside_the_kept_ones() -> None:
    kept = choose_ports(["a"], {})
    assert choose_ports(["a", "b"], kept)["a"] == kept["a"]
