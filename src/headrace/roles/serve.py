"""The serve role: predictions over HTTP, their log shipped to the topic, the champion swapped in."""

from __future__ import annotations

import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from headrace.errors import ServingError
from headrace.features.vector import Vectors
from headrace.models.artifact import Artifact
from headrace.models.registry import Registry
from headrace.roles.context import Context
from headrace.serving.app import create_app
from headrace.serving.once import Once
from headrace.serving.past import Past, in_topic_or_archive, on_disk
from headrace.serving.predictor import PredictionLog, Predictor, named_ids, random_ids
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


def settle() -> None:
    """What is loaded by now stays: the collector need not walk it while requests wait. And the threads that ship
    predictions and watch for champions give the interpreter back sooner than after Python's 5 ms."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0005)


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
    log: PredictionLog = Once(segments, folder) if replayed else segments
    ids = named_ids if replayed else random_ids
    predictor = Predictor(declaration, Vectors(declaration, store, now), log, now, ids=ids)
    sender = Sender(
        declaration,
        context.log,
        context.schemas,
        folder,
        partitions=profile.partitions,
        now=lambda: context.clock.now() or 0,
        arrival=prediction_time if replayed else append_time,
    )
    champions = Champions(profile.open_registry(declaration))
    settle()
    watcher = Watcher(predictor, champions, Requests.of(declaration).rehearsal())
    kept = in_topic_or_archive(declaration, context.log, context.schemas, profile.open_archive(declaration))
    app = create_app(
        declaration,
        predictor,
        warnings=(lambda: watcher.problem, lambda: sender.problem, sender.corrupt),
        unshipped=sender.unshipped,
        past=Past(declaration, (on_disk(folder), kept), champions),
    )
    shipping = threading.Event()
    address = urlsplit(profile.server)
    try:
        with ThreadPoolExecutor(2, "serve") as threads:
            jobs = [
                threads.submit(watcher.run, context.stop),
                threads.submit(sender.follow, context.clock.closed, shipping)
                if replayed
                else threads.submit(sender.run, shipping),
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
                shipping.set()  # the sender ships what was answered before it leaves
        for job in jobs:
            job.result()
    finally:
        sender.close()
        segments.close()
