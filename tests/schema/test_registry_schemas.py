"""What is particular to schemas in a registry: what it cannot tell is never an unknown schema."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from headrace.errors import IncompatibleSchema, SchemaError, UnknownSchema
from headrace.schema.registry import RegistrySchemas

SALE = {"type": "record", "name": "Sale", "fields": [{"name": "units", "type": "long"}]}


class Stub:
    """A registry that answers as it is told, by method and path."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.authorization: str | None = None
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stub.asked.append(f"{self.command} {self.path}")
                stub.authorization = self.headers.get("Authorization")
                status, body = stub.answers.get(f"{self.command} {self.path}", (500, "lost"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = do_POST = answer  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    thread = threading.Thread(target=stub.server.serve_forever)
    thread.start()
    yield stub
    stub.server.shutdown()
    thread.join()
    stub.server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, '{"error_code": 50001, "message": "no store"}', "500.*no store"),
        (503, "starting", "503.*starting"),
        (404, "no such page", "404.*no such page"),
        (404, '{"error_code": 404, "message": "no such path"}', "404"),
        (401, "", "401.*correct the user"),
        (200, "<html>", "not JSON"),
    ],
)
def test_what_the_registry_cannot_tell(stub: Stub, status: int, body: str, said: str) -> None:
    stub.answers["GET /api/schemas/ids/7"] = status, body
    with pytest.raises(SchemaError, match=said) as raised:
        RegistrySchemas(stub.url).by_id(7)
    assert not isinstance(raised.value, UnknownSchema)


def test_a_registry_that_does_not_answer() -> None:
    with pytest.raises(SchemaError, match=r"127\.0\.0\.1:1.*does not answer") as raised:
        RegistrySchemas("http://127.0.0.1:1").by_id(7)
    assert not isinstance(raised.value, UnknownSchema)


def test_what_it_said_of_an_id_holds_for_ever_and_what_it_did_not_know_does_not(stub: Stub) -> None:
    schemas = RegistrySchemas(stub.url)
    stub.answers["GET /api/schemas/ids/7"] = 404, '{"error_code": 40403, "message": "not found"}'
    with pytest.raises(UnknownSchema, match="schema 7"):
        schemas.by_id(7)
    stub.answers["GET /api/schemas/ids/7"] = 200, json.dumps({"schema": json.dumps(SALE)})
    assert schemas.by_id(7) == schemas.by_id(7) == SALE
    assert len(stub.asked) == 2


def test_credentials_are_passed(stub: Stub) -> None:
    stub.answers["GET /api/schemas/ids/7"] = 200, json.dumps({"schema": json.dumps(SALE)})
    RegistrySchemas(stub.url, user="me", password="secret").by_id(7)
    assert stub.authorization == "Basic bWU6c2VjcmV0"
    RegistrySchemas(stub.url, token="abc").by_id(7)
    assert stub.authorization == "Bearer abc"


def test_what_the_registry_itself_refuses(stub: Stub) -> None:
    stub.answers = {
        "GET /api/subjects/s-value/versions": (200, "[1]"),
        "GET /api/subjects/s-value/versions/1": (200, json.dumps({"id": 3, "schema": json.dumps(SALE)})),
        "PUT /api/config/s-value": (200, "{}"),
        "POST /api/compatibility/subjects/s-value/versions?verbose=true": (
            200,
            '{"is_compatible": false, "messages": ["a rule of this house"]}',
        ),
    }
    wider = {**SALE, "fields": [{"name": "units", "type": "double"}]}
    with pytest.raises(IncompatibleSchema, match="a rule of this house"):
        RegistrySchemas(stub.url).register("s-value", wider)


def test_certificates_that_are_not_there() -> None:
    with pytest.raises(SchemaError, match=r"no/such\.pem"):
        RegistrySchemas("https://localhost", ca="no/such.pem")
