"""Alerts: what of the rules' verdicts is news, by the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.monitoring.verdict import Verdict
from headrace.retraining.ledger import Entry

_STATES = {"alert": "alert", "resolved": "ok", "no data": "no data"}


def firing(entries: Iterable[Entry]) -> set[str]:
    """The metrics whose alert is not over."""
    states: dict[str, str] = {}
    for entry in entries:
        if entry.kind in _STATES:
            states[entry.subject] = entry.kind
    return {metric for metric, state in states.items() if state == "alert"}


def news(entries: Iterable[Entry], verdicts: Sequence[Verdict], now: int) -> list[Entry]:
    """An entry for each alert that begins or ends at `now` (ms); an alert without data is not resolved, but over.

    >>> bad = Verdict("mae", "alert", 1.3, 1.1, 500, "model 1")
    >>> begun = news([], [bad], 0)
    >>> [entry.kind for entry in begun], news(begun, [bad], 1)
    (['alert'], [])
    """
    active = firing(entries)
    found: list[Entry] = []
    for verdict in verdicts:
        detail = {"reason": str(verdict), "value": verdict.value, "limit": verdict.limit, "count": verdict.count,
                  "on": verdict.subject}  # fmt: skip
        if verdict.state == "alert" and verdict.metric not in active:
            found.append(Entry(now, "alert", verdict.metric, detail))
        elif verdict.state == "ok" and verdict.metric in active:
            found.append(Entry(now, "resolved", verdict.metric, detail))
        elif verdict.state == "no data" and verdict.metric in active:
            found.append(Entry(now, "no data", verdict.metric, detail))
    return found
