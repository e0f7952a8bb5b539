"""What the decorated functions of a project leave behind, before it is resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.declare.cost import Cost
from headrace.declare.declaration import Calendar
from headrace.declare.label import Each, Grid
from headrace.declare.records import Stream, Table
from headrace.declare.rules import Better, Rule
from headrace.declare.waivers import Waiver

Function = Callable[..., Any]


@dataclass(frozen=True)
class CheckPart:
    stream: type[Stream]
    function: Function


@dataclass(frozen=True)
class EnrichPart:
    stream: type[Stream]
    tables: tuple[type[Table], ...]
    on: Mapping[str, str]
    function: Function


@dataclass(frozen=True)
class WindowsPart:
    stream: type[Stream]
    hop: int | None
    function: Function


@dataclass(frozen=True)
class LabelPart:
    stream: type[Stream]
    examples: Grid | Each
    function: Function


@dataclass(frozen=True)
class ModelPart:
    seed: int
    function: Function
    cost: Cost | None = None


@dataclass(frozen=True)
class RetrainPart:
    """The policy as declared. promote: None where the model's task is to choose the metric."""

    on: tuple[str, ...]
    every: int | None
    cooldown: int
    holdout: int
    budget: int
    promote: Better | None


@dataclass
class Parts:
    """The parts of one project, in declared order."""

    name: str
    entity: tuple[str, ...]
    calendar: Calendar
    checks: list[CheckPart] = field(default_factory=list)
    enrichments: list[EnrichPart] = field(default_factory=list)
    windows: list[WindowsPart] = field(default_factory=list)
    features: Function | None = None
    label: LabelPart | None = None
    model: ModelPart | None = None
    monitors: dict[str, Rule] = field(default_factory=dict)
    retrain: RetrainPart | None = None
    waivers: list[Waiver] = field(default_factory=list)
