"""The serve role: predictions over HTTP, their log shipped to the topic, the champion swapped in."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

from headrace.errors import ServingError
from headrace.features.vector import Vectors
from headrace.models.artifact import Artifact
from headrace.models.registry import Registry
from headrace.roles.context import IDLE, Context
from headrace.serving.app import create_app
from headrace.serving.predictor import Predictor
from headrace.serving.requests import Requests
from headrace.serving.segment import SegmentWriter
from headrace.serving.sender import Sender, append_time, prediction_time
from headrace.serving.server import serve
from headrace.serving.swap import Watcher


class Champions:
    """The registry's champion, by its version number as text."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def champion(self) -> str | None:
        found = self._registry.champion()
        return None if found is None else str(found.number)

    def load(self, version: str) -> Artifact:
        return self._registry.load(self._registry.version(int(version)))


def run(context: Context) -> None:
    declaration, profile = context.declaration, context.profile
    folder = profile.home / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    replayed = profile.clock == "marks"

    def now() -> int:
        time = context.clock.now()
        if time is None:
            raise ServingError("server", "the replay has not begun: there is no time yet", "ask again later")
        return time

    store = profile.open_online()
    segments = SegmentWriter(folder)
    predictor = Predictor(declaration, Vectors(declaration, store, now), segments, now)
    sender = Sender(
        declaration,
        context.log,
        context.schemas,
        folder,
        partitions=profile.partitions,
        now=lambda: context.clock.now() or 0,
        arrival=prediction_time if replayed else append_time,
    )
    watcher = Watcher(
        predictor, Champions(profile.open_registry(declaration)), Requests.of(declaration).rehearsal()
    )
    app = create_app(
        declaration,
        predictor,
        warnings=(lambda: watcher.problem, lambda: sender.problem),
        unshipped=sender.unshipped,
    )

    def close_steps() -> None:
        passed: int | None = None
        while not context.stop.wait(IDLE):
            closed = context.clock.closed()
            if closed is not None and closed != passed:
                sender.mark(closed)
                passed = closed

    shipping = threading.Event()
    threads = [
        threading.Thread(target=watcher.run, args=(context.stop, 0.25 if replayed else 1.0), name="watcher"),
        threading.Thread(target=sender.run, args=(shipping,), name="sender"),
        threading.Thread(target=close_steps, name="marks"),
    ]
    for thread in threads:
        thread.start()
    address = urlsplit(profile.server)
    try:
        serve(
            app,
            context.stop,
            host=address.hostname or "127.0.0.1",
            port=address.port or 8000,
            bound=lambda port: context.say.info("answers at http://%s:%d", address.hostname, port),
        )
    finally:
        context.stop.set()
        shipping.set()  # the sender ships what was answered before it leaves
        for thread in threads:
            thread.join()
        sender.close()
        segments.close()
