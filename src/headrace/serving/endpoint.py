"""`POST /predict` as a bare ASGI function: a route of a framework costs more than a prediction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import parse_qs

from headrace.errors import HeadraceError
from headrace.serving.answers import predicted, refused
from headrace.serving.predictor import Predictor
from headrace.serving.requests import BYTES, Asked, Refusal, Requests, few, too_large
from headrace.serving.together import Together

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SMALL: Final = 2_000
"""Bytes up to which a body costs less than the way to another thread and back."""
_JSON: Final = (b"content-type", b"application/json")


class _Gone(Exception):
    """The caller left before the body was whole."""


class Predict:
    """Small requests are predicted on the event loop, together; large ones, and explanations, on a thread of their
    own, so that the process stays free for the others, for health and for metrics.
    """

    def __init__(self, requests: Requests, predictor: Predictor, worker: ThreadPoolExecutor) -> None:
        self._requests = requests
        self._predictor = predictor
        self._worker = worker
        self._together = Together(predictor)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        metrics, began, status = self._predictor.metrics, time.perf_counter(), 500
        try:
            headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
            body = await _body(headers, receive)
            status, content = 200, await self._answer(body, headers, scope["query_string"])
        except _Gone:
            status, content = 400, b""  # nobody reads it
        except HeadraceError as error:
            status, content = refused(error)
        finally:
            metrics.requested(status, time.perf_counter() - began)
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, body: bytes, headers: Mapping[bytes, str], query: bytes) -> bytes:
        name, explain = headers.get(b"idempotency-key"), bool(query) and _explained(query)
        if len(body) > _SMALL:
            return await self._on_worker(self._whole, body, name, explain)
        asked = self._requests.read(body)
        if asked.explain or explain:
            return await self._on_worker(self._explain, asked, name)
        return predicted(await self._together.predict(asked.rows, name), None, asked.many)

    def _whole(self, body: bytes, name: str | None, explain: bool) -> bytes:
        asked = self._requests.read(body)
        if asked.explain or explain:
            return self._explain(asked, name)
        return predicted(self._predictor.predict(asked.rows, name), None, asked.many)

    def _explain(self, asked: Asked, name: str | None) -> bytes:
        few(asked.rows)
        predictions, why = self._predictor.explain(asked.rows, name)
        return predicted(predictions, why, asked.many)

    async def _on_worker(self, call: Callable[..., bytes], *arguments: Any) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call, *arguments)


def _explained(query: bytes) -> bool:
    """Whether the query string says explain=true."""
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain", ["false"])[-1]
    if asked not in ("true", "false"):
        raise Refusal(f"explain is {asked[:80]!r}", "send explain=true or explain=false", field="explain")
    return asked == "true"


async def _body(headers: Mapping[bytes, str], receive: Receive) -> bytes:
    """The body, never more than is allowed of it. Refusal 413 or 415."""
    kind = headers.get(b"content-type", "")
    if kind != "application/json":
        kind, _, parameters = kind.partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
            raise Refusal("its content type is not JSON", "send content-type: application/json", status=415)
    if headers.get(b"content-encoding", "identity").lower() != "identity":
        raise Refusal("its body is encoded", "send it without content-encoding", status=415)
    length = headers.get(b"content-length", "0")
    if not length.isdecimal() or int(length[:20]) > BYTES:
        raise too_large()
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > BYTES:
            raise too_large()
        if not message.get("more_body", False):
            return b"".join(parts)
