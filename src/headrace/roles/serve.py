"""The serve role: predictions over HTTP, their log shipped to the topic, the champion swapped in."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

from headrace.errors import ServingError
from headrace.features.vector import Vectors
from headrace.models.artifact import Artifact
from headrace.models.registry import Registry
from headrace.roles.context import Context
from headrace.roles.shipping import Shipping, folder_of, opened
from headrace.serving.app import create_app
from headrace.serving.once import Once
from headrace.serving.past import Past, in_topic_or_archive, on_disk
from headrace.serving.predictor import PredictionLog, Predictor, named_ids, random_ids
from headrace.serving.requests import Requests
from headrace.serving.segment import SegmentWriter
from headrace.serving.sender import Sender, prediction_time
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


def settle() -> None:
    """What is loaded by now, the model's libraries too, stays: the collector need not walk it while requests wait,
    which takes it a quarter of a second. And the threads that ship predictions and watch for champions give the
    interpreter back sooner than after Python's 5 ms."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0005)


def run(context: Context) -> None:
    declaration, profile = context.declaration, context.profile
    folder = folder_of(profile)
    folder.mkdir(parents=True, exist_ok=True)
    replayed = profile.clock == "marks"

    def now() -> int:
        time = context.clock.now()
        if time is None:
            raise ServingError("server", "the replay has not begun: there is no time yet", "ask again later")
        return time

    store = profile.open_online()
    segments = SegmentWriter(folder)
    log: PredictionLog = Once(segments, folder) if replayed else segments
    ids = named_ids if replayed else random_ids
    predictor = Predictor(declaration, Vectors(declaration, store, now), log, now, ids=ids)
    closing = threading.Event()
    ship, sender = _shipping(context, closing)
    champions = Champions(profile.open_registry(declaration))
    watcher = Watcher(predictor, champions, Requests.of(declaration).rehearsal())
    watcher.look()
    settle()
    kept = in_topic_or_archive(declaration, context.log, context.schemas, profile.open_archive(declaration))
    app = create_app(
        declaration,
        predictor,
        warnings=(lambda: watcher.problem, lambda: sender.problem, sender.corrupt),
        unshipped=sender.unshipped,
        past=Past(declaration, (on_disk(folder), kept), champions),
    )
    address = urlsplit(profile.server)
    try:
        with ThreadPoolExecutor(2, "serve") as threads:
            jobs = [
                threads.submit(watcher.run, context.stop),
                threads.submit(ship),
            ]
            for job in jobs:
                job.add_done_callback(lambda _: context.stop.set())  # one that failed ends the role
            try:
                serve(
                    app,
                    context.stop,
                    host=address.hostname or "127.0.0.1",
                    port=8000 if address.port is None else address.port,
                    bound=lambda port: context.say.info("answers at http://%s:%d", address.hostname, port),
                )
            finally:
                context.stop.set()
                closing.set()  # the sender ships what was answered before it leaves
        for job in jobs:
            job.result()
    finally:
        if isinstance(sender, Sender):
            sender.close()
        segments.close()


def _shipping(context: Context, closing: threading.Event) -> tuple[Callable[[], None], Sender | Shipping]:
    """What ships predictions until closing is set, and how it is. Under replay in this process, step by step."""
    if context.profile.clock != "marks":
        shipping = Shipping(context.declaration, context.profile)
        return partial(shipping.run, closing), shipping
    sender = opened(context, prediction_time)
    return partial(sender.follow, context.clock.closed, closing), sender
