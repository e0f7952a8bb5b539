"""The online role waits for a store that is away, and loses nothing of what came meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.declare.load import read_project
from headrace.declare.topics import Topics
from headrace.features.redis import RedisStore
from headrace.log.contract import Topic
from headrace.profiles import Profile
from headrace.roles import online
from headrace.roles.context import Context
from headrace.schema.avro import encode_block, nullable_schema
from headrace.stream.layouts import TILES
from headrace.stream.tiler import ROLE, listing

FRAUD = read_project(Path(__file__).parent.parent / "projects" / "fraud.py")
VIEW = next(iter(FRAUD.views.values()))


def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, redis_server: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = redis_server()
    url = f"redis:{server.address}/0?prefix=fraud:"
    context = Context.of("online", FRAUD, replace(Profile("local", tmp_path), online=url))
    topics = Topics.of(FRAUD)
    log = context.log
    log.create(Topic(topics.tiles, ROLE, 1))
    schema = nullable_schema(topics.tiles, TILES)
    schema_id = context.schemas.register(f"{topics.tiles}-value", schema).id
    writer = log.writer(ROLE)

    def write(epoch: str) -> None:
        with writer.transaction() as transaction:
            rows: pa.Table = listing(VIEW, [epoch])
            transaction.append(topics.tiles, 0, encode_block(rows, schema_id, 0))

    def reached(offset: int) -> bool:
        return log.committed("online").positions.get((topics.tiles, 0), 0) >= offset

    def until(true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.02)

    thread = threading.Thread(target=online.run, args=(context,))
    with caplog.at_level(logging.WARNING):
        thread.start()
        write("one")
        until(lambda: reached(1))
        server.kill()
        write("two")
        until(lambda: "it does not answer" in caplog.text)
        assert not reached(2)
        server.start()
        until(lambda: reached(2))
    context.stop.set()
    thread.join()
    store = RedisStore(url)
    assert store.position()[topics.tiles, 0] == 2
    store.close()
    writer.close()
    log.close()
