"""A training run, as the registry has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Number = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Run:
    """status: as MLflow names it, FINISHED or FAILED. began, ended: ms. parameters: as texts."""

    id: str
    status: str
    began: int
    ended: int | None
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def data(self) -> dict[str, int]:
        """The version of each of the archive's topics that it read."""
        found: dict[str, int] = json.loads(self.tags.get("data", "{}"))
        return found

    @classmethod
    def of(cls, found: Any) -> Run:
        """MLflow's own."""
        info, data = found.info, found.data
        return cls(
            id=info.run_id,
            status=info.status,
            began=int(info.start_time),
            ended=None if info.end_time is None else int(info.end_time),
            parameters=dict(data.params),
            metrics=dict(data.metrics),
            tags=dict(data.tags),
        )
