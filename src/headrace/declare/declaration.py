"""What a project file declares, once resolved: frozen data that every stage reads.

`Project.resolve()` makes it. The names: a `StreamDef` is checked, joined with tables and given derived
columns; `View`s are tiled from it; `WindowFeature`s aggregate over views; `Feature`s are finalised from
the request, attributes, window features and the calendar; a `Label` is what the model learns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ibis.expr.types as ir

from headrace.declare.cost import Cost
from headrace.declare.label import Each, Future, Grid, Outcome
from headrace.declare.rules import Retrain, Rule
from headrace.declare.types import ColumnType
from headrace.declare.waivers import Waiver
from headrace.declare.window import Aggregate, Family
from headrace.errors import SourceError

Task = Literal["regression", "classification"]


@dataclass(frozen=True, eq=False)
class TableDef:
    """A lookup table. `title` prefixes its columns in expressions: `supplier__lead_days`."""

    title: str
    source: str
    key: tuple[str, ...]
    refresh: int
    ttl: int | None
    valid_from: str | None
    columns: Mapping[str, ColumnType]

    def column(self, name: str) -> str:
        """The name of a column of this table inside a joined relation."""
        return f"{self.title}__{name}"


@dataclass(frozen=True, eq=False)
class Check:
    """A rule that every record of a stream must pass; null fails."""

    name: str
    expression: ir.Value


@dataclass(frozen=True, eq=False)
class Derived:
    """A column that enrichment adds, over the stream's columns and the joined tables' prefixed ones."""

    name: str
    expression: ir.Value
    type: ColumnType


@dataclass(frozen=True, eq=False)
class Join:
    """A lookup of a table: `on` are the stream's columns, in the order of the table's key."""

    table: TableDef
    on: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StreamDef:
    """A stream with its checks, joins and derived columns."""

    title: str
    topic: str
    key: tuple[str, ...]
    time: str
    lateness: int
    skew: int
    columns: Mapping[str, ColumnType]
    checks: tuple[Check, ...]
    joins: tuple[Join, ...]
    derived: tuple[Derived, ...]

    @property
    def enriched(self) -> dict[str, ColumnType]:
        """The columns of an enriched record, without the system's own."""
        return {**self.columns, **{column.name: column.type for column in self.derived}}


@dataclass(frozen=True, eq=False)
class View:
    """Tiles of one expression (None: of the events themselves), by one key, at one hop, in one family.

    `id` is made from the definition: a changed definition is another view. `type` is that of the expression.
    """

    id: str
    stream: str
    by: tuple[str, ...]
    hop: int
    family: Family
    expression: ir.Value | None
    type: ColumnType


@dataclass(frozen=True, eq=False)
class WindowFeature:
    """An aggregate over a view's last `size` ms. `name` is `<function>__<feature>`."""

    name: str
    view: View
    aggregate: Aggregate
    size: int
    per: int | None
    type: ColumnType


@dataclass(frozen=True, eq=False)
class Lookup:
    """A step of resolution: find a table's row by columns that are known by now."""

    join: Join


@dataclass(frozen=True, eq=False)
class Resolve:
    """A step of resolution: an enrichment's expression over attributes (`column.name` becomes known)."""

    column: Derived


@dataclass(frozen=True, eq=False)
class Feature:
    """One finalised input of the model. `type.kind` 'str' is categorical."""

    name: str
    expression: ir.Value
    type: ColumnType


@dataclass(frozen=True, eq=False)
class Label:
    """What the model learns, and at which examples. `stream` is the title of the stream that tells it."""

    name: str
    stream: str
    definition: Future | Outcome
    examples: Grid | Each
    type: ColumnType

    @property
    def horizon(self) -> int:
        """How long after t the label is still open, in ms, lateness not counted."""
        return self.definition.horizon if isinstance(self.definition, Future) else self.definition.delay


@dataclass(frozen=True, eq=False)
class Model:
    """How a model is trained: the user's function, the defaults of its parameters, and what its errors cost."""

    name: str
    function: Callable[..., Any]
    parameters: Mapping[str, int | float | str | bool]
    seed: int
    task: Task
    cost: Cost | None = None


@dataclass(frozen=True, eq=False)
class Calendar:
    """Where and when: the time zone of calendar features, the holidays' country or region, exceptions by date."""

    timezone: str
    holidays: str | None
    exceptions: Mapping[str, bool]


@dataclass(frozen=True, eq=False)
class Declaration:
    """A whole project.

    request: what a caller sends: the entity's keys on a grid, else the example event's columns.
    resolution: the steps that make every key and attribute known from a request, in order.
    inputs: every column that a feature may read, by its name in the features' relation: the request's
    and resolved ones bare, others as `<title>__<name>`.
    """

    name: str
    path: Path
    entity: tuple[str, ...]
    streams: Mapping[str, StreamDef]
    tables: Mapping[str, TableDef]
    views: Mapping[str, View]
    windows: Mapping[str, WindowFeature]
    request: Mapping[str, ColumnType]
    resolution: tuple[Lookup | Resolve, ...]
    inputs: Mapping[str, ColumnType]
    features: tuple[Feature, ...]
    calendar: Calendar
    label: Label
    model: Model
    monitors: Mapping[str, Rule]
    retrain: Retrain
    waivers: tuple[Waiver, ...]
    digest: str

    def stream(self, title: str) -> StreamDef:
        """A stream by its title, as a user names it. SourceError where there is none."""
        if title not in self.streams:
            known = ", ".join(self.streams)
            raise SourceError(
                f"stream {title!r}", f"project {self.name} has none of this name", f"name one of {known}"
            )
        return self.streams[title]

    @property
    def label_stream(self) -> StreamDef:
        return self.streams[self.label.stream]

    @property
    def example_stream(self) -> StreamDef:
        """The stream whose events are examples, or make an entity active on the grid."""
        examples = self.label.examples
        return self.streams[examples.stream.title()] if isinstance(examples, Each) else self.label_stream

    @property
    def maturity(self) -> int:
        """How long after t an example's label is final, in ms: horizon plus lateness."""
        return self.label.horizon + self.label_stream.lateness
