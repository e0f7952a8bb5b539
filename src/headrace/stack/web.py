"""Questions over HTTP, with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

from headrace.stack.server import NotReady

_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback is never behind a proxy."""


def get_json(url: str, timeout: float = 5.0) -> Any:
    """The answer to a GET. NotReady names what came instead."""
    return json.loads(get(url, timeout))


def get(url: str, timeout: float = 5.0) -> bytes:
    return _answer(urllib.request.Request(url), timeout)


def send_json(method: str, url: str, body: Any, timeout: float = 10.0) -> Any:
    """The answer to a request with a JSON body."""
    headers = {"Content-Type": "application/json"}
    return json.loads(
        _answer(urllib.request.Request(url, json.dumps(body).encode(), headers, method=method), timeout)
    )


def _answer(request: urllib.request.Request, timeout: float) -> bytes:
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode(errors="replace")
        raise NotReady(f"{request.full_url} answers {error.code}: {said}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise NotReady(f"{request.full_url} does not answer: {error}") from error
