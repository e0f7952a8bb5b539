"""Lag: how many records of a topic a role has not read yet."""

from __future__ import annotations

from headrace.log.contract import Commit, Log


def lag(log: Log, commit: Commit, topic: str) -> int:
    """Records of one topic behind a group's commit; on a log with gaps as many offsets."""
    return sum(
        _behind(log, topic, partition, commit.positions.get((topic, partition), first), last)
        for partition, (first, last) in enumerate(log.bounds(topic))
    )


def _behind(log: Log, topic: str, partition: int, position: int, last: int) -> int:
    """None where only a gap is left."""
    waits = last > position and any(batch.count for batch in log.read(topic, partition, position, 1))
    return last - position if waits else 0
