"""The servers that tests of the adapters for a cluster run against: one place to say where they are."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def kafka_servers() -> str:
    """host:port of a Kafka cluster's brokers, separated by commas."""
    return _address("HEADRACE_TEST_KAFKA", "host:port[,host:port...] of a Kafka cluster")


@pytest.fixture(scope="session")
def registry_url() -> str:
    """The address of a schema registry that speaks Confluent's API."""
    return _address("HEADRACE_TEST_REGISTRY", "the URL of a schema registry (Confluent's API)")


def _address(variable: str, what: str) -> str:
    address = os.environ.get(variable)
    if not address:
        pytest.fail(f"no server to test against: set {variable} to {what}")
    return address
