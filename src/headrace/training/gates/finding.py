"""A finding: what a gate holds against a feature, with the numbers that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """cause: a sentence without its subject. evidence: numbers by name. related: other features that it concerns.

    waived: the declared reason for which it does not stop. young: why the training set is too short to judge.
    """

    gate: str
    feature: str
    cause: str
    evidence: Mapping[str, float]
    related: tuple[str, ...] = ()
    waived: str | None = None
    young: str | None = None

    @property
    def stops(self) -> bool:
        return self.waived is None and self.young is None

    def __str__(self) -> str:
        """
        >>> print(Finding("constants", "month", "it is 5 in all 90 examples", {"values": 1}))
        constants finds month: it is 5 in all 90 examples
        """
        return f"{self.gate} finds {self.feature}: {self.cause}"

    def waiver(self, project: str) -> str:
        """The line that waives it.

        >>> print(Finding("constants", "month", "", {}).waiver("shop"))
        shop.waive("constants", feature="month", because="...")
        """
        return f'{project}.waive("{self.gate}", feature="{self.feature}", because="...")'

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        return cls(**{**data, "related": tuple(data["related"])})
