"""Runs the application with uvicorn in this process until an event is set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from headrace.errors import MissingExtra, ServingError

try:
    import uvicorn
except ImportError as error:
    raise MissingExtra("server", "uvicorn", "serve") from error

_GRACE: Final = 10
"""Seconds in which open requests may end."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: threading.Event, bound: Callable[[int], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._bound = bound

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._bound(self.servers[0].sockets[0].getsockname()[1])

    async def on_tick(self, counter: int) -> bool:
        return self._stop.is_set() or await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the role's, which sets the event."""
        yield


def serve(
    app: Any,
    stop: threading.Event,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    bound: Callable[[int], None] = lambda port: None,
) -> None:
    """Serves until `stop` is set, then lets open requests end.

    port: 0 for a free one; `bound` is told the port when requests are taken. ServingError where it cannot listen.
    """
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )  # fmt: skip
    try:
        _Server(config, stop, bound).run()
    except SystemExit as error:
        raise ServingError(
            f"server {host}:{port}", "it cannot listen there", "stop what listens there, or choose another port"
        ) from error
