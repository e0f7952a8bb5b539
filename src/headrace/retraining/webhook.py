"""Alertmanager's webhook: it says which declared alerts fire, in place of the monitor's own rules.

The body is version 4 of Alertmanager's webhook message (prometheus.io/docs/alerting/latest/configuration, section
webhook_config). What is not about this project is taken and ignored: one receiver may serve several projects.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from headrace.errors import RoleError
from headrace.monitoring.verdict import State, Verdict

PATH: Final = "/alerts"
_LARGEST: Final = 1_000_000
"""Bytes of a message."""
_STATES: Final[dict[str, State]] = {"firing": "alert", "resolved": "ok"}


class Webhook:
    """Waits for messages. States are kept in memory: Alertmanager repeats what still fires.

    address: host:port. metrics: those that the project monitors. RoleError where it cannot listen there.
    """

    def __init__(self, project: str, metrics: Collection[str], address: str) -> None:
        self._project = project
        self._metrics = frozenset(metrics)
        self._states: dict[str, State] = {}
        self._lock = threading.Lock()
        self._came = threading.Event()
        host, _, port = address.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host, int(port)), _handler(self.take))
        except (OSError, ValueError) as error:
            raise RoleError(
                "role monitor", f"it cannot listen at {address}: {error}", "choose another port"
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def take(self, message: Any) -> None:
        """Notes the states that a message tells. ValueError where it is no such message."""
        told: dict[str, State] = {}
        try:
            for alert in message["alerts"]:
                labels, status = alert["labels"], alert["status"]
                if labels.get("project") == self._project and labels.get("metric") in self._metrics:
                    # One that fires outweighs others of the same metric, of another feature, that ended.
                    state = _STATES[status]
                    if told.get(labels["metric"]) != "alert":
                        told[labels["metric"]] = state
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no message of Alertmanager's webhook: {error!r} is missing or odd") from error
        with self._lock:
            self._states |= told
        if told:
            self._came.set()

    def wait(self, seconds: float) -> None:
        """Until a message came, or so long."""
        self._came.wait(seconds)
        self._came.clear()

    def rule(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The same verdicts with Alertmanager's states; what it never spoke of does not fire."""
        with self._lock:
            states = dict(self._states)
        return [replace(verdict, state=states.get(verdict.metric, "ok")) for verdict in verdicts]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(take: Callable[[Any], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if self.path != PATH:
                self._answer(404, f"POST {PATH} is all there is")
            elif not length.isdecimal() or int(length[:20]) > _LARGEST:
                self._answer(413, f"its length must be said, and be at most {_LARGEST} bytes")
            else:
                try:
                    take(json.loads(self.rfile.read(int(length))))
                except ValueError as error:
                    self._answer(400, str(error))
                else:
                    self._answer(200, "taken")

        def _answer(self, status: int, text: str) -> None:
            body = json.dumps({"status": text}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Says nothing: the ledger tells."""

    return Handler
