"""Alertmanager's messages, as it sends them: what fires is what the monitor acts on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.errors import RoleError
from headrace.monitoring.verdict import Verdict
from headrace.retraining.webhook import Webhook

MAE = Verdict("mae", "alert", 1.5, 1.2, 500, "model 3")
PSI = Verdict("psi", "ok", 0.1, 0.2, 500, "units")


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    found = Webhook("demand", ["mae", "psi"], "127.0.0.1:0")
    yield found
    found.close()


def post(webhook: Webhook, body: bytes, path: str = "/alerts") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", webhook.port, timeout=10)
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def message(*alerts: tuple[str, str], project: str = "demand", **labels: str) -> bytes:
    """A message of version 4, with the status and the metric of each alert."""
    told: list[dict[str, Any]] = [
        {
            "status": status, "labels": {"project": project, "metric": metric, **labels}, "annotations": {},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "ab",
        }
        for status, metric in alerts
    ]  # fmt: skip
    return json.dumps({"version": "4", "status": "firing", "receiver": "headrace-demand", "alerts": told}).encode()


def states(webhook: Webhook) -> dict[str, str]:
    return {verdict.metric: verdict.state for verdict in webhook.rule([MAE, PSI])}


def test_alertmanager_has_the_say(webhook: Webhook) -> None:
    assert states(webhook) == {"mae": "ok", "psi": "ok"}
    assert post(webhook, message(("firing", "psi")))[0] == 200
    assert states(webhook) == {"mae": "ok", "psi": "alert"}
    assert [str(verdict) for verdict in webhook.rule([PSI])] == ["psi of units 0.1 > 0.2 (500)"]
    post(webhook, message(("resolved", "psi"), ("firing", "mae")))
    assert states(webhook) == {"mae": "alert", "psi": "ok"}


def test_one_feature_that_drifts_outweighs_another_that_no_longer_does(webhook: Webhook) -> None:
    post(webhook, message(("firing", "psi"), ("resolved", "psi"), feature="units"))
    assert states(webhook)["psi"] == "alert"


def test_others_alerts_are_none_of_its_business(webhook: Webhook) -> None:
    assert post(webhook, message(("firing", "psi"), project="fraud"))[0] == 200
    assert post(webhook, message(("firing", "auc")))[0] == 200
    assert states(webhook) == {"mae": "ok", "psi": "ok"}


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"alerts": [{}]}', b'{"alerts": [{"labels": 3, "status": "firing"}]}', b"\xff"]
)
def test_what_is_no_message_is_refused_and_changes_nothing(webhook: Webhook, body: bytes) -> None:
    post(webhook, message(("firing", "psi")))
    status, text = post(webhook, body)
    assert status == 400
    assert json.loads(text)["status"]
    assert states(webhook)["psi"] == "alert"


def test_other_paths_and_large_bodies_are_refused(webhook: Webhook) -> None:
    assert post(webhook, b"{}", "/")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", webhook.port, timeout=10)
    connection.putrequest("POST", "/alerts")
    connection.putheader("content-length", "99999999")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_message_ends_the_wait(webhook: Webhook) -> None:
    post(webhook, message(("firing", "psi")))
    webhook.wait(60)  # or the test runs into its timeout


def test_an_address_that_is_taken_is_named(webhook: Webhook) -> None:
    with pytest.raises(RoleError, match=f"cannot listen at 127.0.0.1:{webhook.port}"):
        Webhook("demand", [], f"127.0.0.1:{webhook.port}")
