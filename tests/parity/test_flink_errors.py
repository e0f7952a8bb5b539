"""What Flink says, in words that lead back to the declaration: the object, the cause, the remedy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.parity.engines import cluster_of, hard_project

from headrace.declare.declaration import Declaration
from headrace.errors import FlinkError
from headrace.stack import Stack
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import Insert, Job, table
from headrace.stream.flink.gateway import Gateway, UnreachableFlink
from headrace.stream.flink.life import Life

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def declaration(tmp_path: Path) -> Declaration:
    return hard_project(tmp_path)


@pytest.fixture
def cluster(stack: Stack, declaration: Declaration) -> Cluster:
    return cluster_of(stack, declaration, parallelism=1)


@pytest.fixture
def gateway(cluster: Cluster) -> Iterator[Gateway]:
    gateway = Gateway(cluster.gateway, cluster.rest)
    yield gateway
    gateway.close()


def job(declaration: Declaration, query: str, **settings: str) -> Job:
    """One that reads numbers as text from nowhere and writes them nowhere."""
    name = f"headrace {declaration.name} enrich"
    options = {"connector": "datagen", "rows-per-second": "5", "fields.a.length": "3"}
    statements = (
        table("sale_raw", {"a": "STRING"}, options),
        table("sale_sink", {"b": "BIGINT"}, {"connector": "blackhole"}),
    )
    return Job(name, statements, (Insert("stream sale", f"INSERT INTO `sale_sink` {query}"),), settings)


def tended(life: Life, done: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        life.tend()
        time.sleep(0.05)


def test_a_job_that_cannot_be_planned_names_its_stream(
    declaration: Declaration, cluster: Cluster, gateway: Gateway
) -> None:
    life = Life(gateway, cluster, job(declaration, "SELECT `units` FROM `sale_raw`"))
    with pytest.raises(FlinkError, match=r"^stream sale: .*Column 'units' not found.* To mend it: \w+") as refused:
        life.tend()
    assert refused.value.subject == "stream sale"
    assert not life.found()


def test_a_table_that_flink_refuses_names_the_job(
    declaration: Declaration, cluster: Cluster, gateway: Gateway
) -> None:
    whole = job(declaration, "SELECT 1 FROM `sale_raw`")
    broken = replace(whole, statements=(table("t", {"a": "NONSENSE"}, {"connector": "datagen"}), *whole.statements))
    with pytest.raises(FlinkError, match="NONSENSE") as refused:
        Life(gateway, cluster, broken).tend()
    assert refused.value.subject == f"headrace {declaration.name} enrich"


def test_a_job_that_fails_for_good_says_why_and_is_begun_again(
    declaration: Declaration, cluster: Cluster, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    failing = job(
        declaration, "SELECT CAST(CONCAT('x', `a`) AS BIGINT) FROM `sale_raw`", **{"restart-strategy.type": "none"}
    )
    life = Life(gateway, cluster, failing)
    with caplog.at_level(logging.INFO, "headrace.flink"):
        tended(life, lambda: caplog.text.count(": begins") >= 2)
    gone = next(record.getMessage() for record in caplog.records if "is gone" in record.getMessage())
    assert gone.startswith(f"headrace {declaration.name} enrich: job ")
    assert "is gone: NumberFormatException" in gone
    life.stop()


def test_a_gateway_that_is_not_there(declaration: Declaration, cluster: Cluster) -> None:
    gateway = Gateway("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(UnreachableFlink, match=r"nothing answers at http://127.0.0.1:9/.*headrace stack doctor"):
        gateway.jobs()
    life = Life(gateway, cluster, job(declaration, "SELECT 1 FROM `sale_raw`"))
    assert life.tend() is False
    gateway.close()


@pytest.mark.parametrize(("status", "body"), [(500, '{"errors": ["java.lang.Exception: no slots"]}'), (403, "no")])
def test_a_gateway_that_refuses(status: int, body: str) -> None:
    """Also one that stands behind a proxy, whose answer is no JSON."""
    kind = "application/json" if body.startswith("{") else "text/plain"
    gateway = Gateway("http://gateway", "http://rest")
    gateway._client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(status, text=body, headers={"content-type": kind}))
    )
    with pytest.raises(FlinkError, match="no") as refused, gateway.session({}):
        pass
    assert refused.value.remedy
    gateway.close()
