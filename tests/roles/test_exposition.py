"""What a role tells Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.declare.load import read_project
from headrace.errors import RoleError
from headrace.profiles import Profile
from headrace.roles.context import Context
from headrace.roles.exposition import address_of, expose
from headrace.stack.ports import choose_ports
from headrace.stream.enricher import Enricher
from headrace.stream.producer import Producer

PROJECT = Path(__file__).parents[1] / "projects" / "shop.py"


def free() -> str:
    return f"127.0.0.1:{choose_ports(['metrics'], {})['metrics']}"


def told(address: str) -> dict[tuple[str, str], float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {(one.name, one.labels.get("topic", "")): one.value for family in families for one in family.samples}


def context(home: Path, role: str, **settings: Any) -> Context:
    profile = Profile("local", home, partitions=2, **settings)
    return Context.of(role, read_project(PROJECT), profile)


def test_lag_records_and_the_process(tmp_path: Path) -> None:
    first = free()
    role = context(tmp_path, "enrich", metrics=first)
    declaration = role.declaration
    stream = declaration.streams["sale"]
    producer = Producer(role.log, role.schemas, stream, partitions=2)
    rows = [{"sku": f"sku {number}", "units": 1, "sold_at": 1_000 + number} for number in range(7)]
    producer.send_rows(rows, arrivals=[2_000] * 7)
    expose(role)
    address = address_of("enrich", first)
    assert address is not None
    found = told(address)
    assert found["headrace_lag_records", stream.topic] == 7
    assert found["process_resident_memory_bytes", ""] > 1e6
    assert any(name == "headrace_network_bytes_total" for name, _ in found)
    enricher = Enricher(declaration, role.log, role.schemas)
    while enricher.step():
        pass
    enricher.close()
    found = told(address)
    assert found["headrace_lag_records", stream.topic] == 0
    kinds = {topic: value for (name, topic), value in found.items() if name == "headrace_records_total"}
    assert sum(kinds.values()) == 7


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    first = free()
    role = context(tmp_path, "tables", metrics=first)
    expose(role)
    with pytest.raises(RoleError, match="its metrics cannot be served at"):
        expose(replace(role, role="tables"))


def test_nothing_is_served_where_no_address_is_named(tmp_path: Path) -> None:
    expose(context(tmp_path, "tables"))
