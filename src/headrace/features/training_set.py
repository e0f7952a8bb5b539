"""The training set: examples, their features as served at t, their labels, and the naive forecast beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headrace.declare.declaration import Declaration
from headrace.declare.label import RESERVED
from headrace.declare.topics import Topics
from headrace.errors import DeclarationError, FeatureError
from headrace.features.examples import draw_examples
from headrace.features.labels import labels, mature, naive
from headrace.features.needs import Needs
from headrace.features.point_in_time import as_if_on_time
from headrace.features.vector import vectors

Records = Callable[[str], pa.Table]
"""From a topic's name to all its records, in their order."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a model is trained on.

    table: a row an example, by t: `t` (ms), the request's columns, the features, `label` and `naive` (float64).
    Where a feature has the name of a request's column, the feature stands alone. immature: how many examples were
    left out because their label is not final; unlabelled: because nothing in the window tells it.
    first_version_rows: by table title, for how many examples the first known version stood in for an earlier one.
    """

    table: pa.Table
    immature: int
    unlabelled: int
    first_version_rows: Mapping[str, int]


def training_set(declaration: Declaration, records: Records, until: int) -> TrainingSet:
    """The examples whose labels are final at `until`, with features as they were served.

    records: enriched records and table changes by topic (`declare.topics`). until: ms; all that arrived before it
    is there. What arrived later does not count, so that the result is the same whenever it is computed.
    DeclarationError where a feature has a reserved name.

    >>> from pathlib import Path
    >>> import headrace as hr
    >>> from headrace import Int, Str, Time
    >>> from headrace.declare.resolve import resolve
    >>> class Sale(hr.Stream, topic="shop.sales", key="sku", time="at", lateness="1s"):
    ...     sku: Str
    ...     units: Int
    ...     at: Time
    >>> shop = hr.Project("shop", entity="sku")
    >>> @shop.windows(Sale)
    ... def past(sale):
    ...     return {"units": hr.window.sum(sale.units, "1h", by="sku")}
    >>> @shop.features
    ... def now(past):
    ...     return {"units": past.units}
    >>> @shop.label(Sale, examples=hr.grid("1m", active="1h"))
    ... def next_minute(sale):
    ...     return hr.future.sum(sale.units, "1m")
    >>> @shop.model(seed=1)
    ... def train(x, y): ...
    >>> sales = pa.table({"sku": ["a", "a"], "units": [2, 3], "_time": [50_000, 70_000],
    ...                   "_arrival": [50_500, 70_500], "_file": pa.nulls(2, pa.string()),
    ...                   "_partition": [0, 0], "_offset": [0, 1]})
    >>> declaration = resolve(shop.parts, Path("shop.py"), "")
    >>> found = training_set(declaration, {"shop.enriched.sale": sales}.__getitem__, until=190_000)
    >>> found.table.to_pylist()  # doctest: +NORMALIZE_WHITESPACE
    [{'t': 60000, 'sku': 'a', 'units': 2, 'label': 3, 'naive': 2.0},
     {'t': 120000, 'sku': 'a', 'units': 5, 'label': 0, 'naive': 3.0}]
    >>> found.immature
    1
    """
    return _training_set(declaration, records, until, lambda events: events)


def complete_training_set(declaration: Declaration, records: Records, until: int) -> TrainingSet:
    """The same with features by event time alone: also events that had not arrived before t count."""
    return _training_set(declaration, records, until, as_if_on_time)


def _training_set(
    declaration: Declaration, records: Records, until: int, history: Callable[[pa.Table], pa.Table]
) -> TrainingSet:
    _refuse_reserved(declaration)
    needs = Needs(declaration)
    titles = {declaration.example_stream.title, declaration.label.stream}
    titles |= {window.view.stream for window in needs.windows}
    topics = Topics.of(declaration)
    streams = {title: _until(records(topics.enriched(title)), until) for title in titles}
    tables = [join.table.title for each in needs.rounds for join in each.lookups]
    changes = {title: _until(records(topics.table(title)), until) for title in tables}
    for title, known in changes.items():
        if not known.num_rows:
            raise FeatureError(
                f"table {title}",
                "the archive holds no row of it that was known by then: its attributes would all be null",
                "let the roles tables and archive run until it was loaded, or train at a later instant",
            )

    drawn = draw_examples(declaration, streams[declaration.example_stream.title], until)
    examples = drawn.filter(pa.array(mature(declaration, drawn.column("t").to_numpy(), until)))
    told = streams[declaration.label.stream]
    target = labels(declaration, told, examples)
    forecast = naive(declaration, told, examples)
    labelled = target.is_valid()
    immature, unlabelled = drawn.num_rows - examples.num_rows, pc.sum(pc.invert(labelled)).as_py() or 0
    examples, target, forecast = examples.filter(labelled), target.filter(labelled), forecast.filter(labelled)

    found = vectors(declaration, examples, {title: history(events) for title, events in streams.items()}, changes)
    shown = [name for name in declaration.request if name not in found.table.column_names]
    table = examples.select(["t", *shown])
    for name, column in zip(found.table.column_names, found.table.columns, strict=True):
        table = table.append_column(name, column)
    table = table.append_column("label", target).append_column("naive", forecast)
    return TrainingSet(table, immature, unlabelled, found.first_version_rows)


def _until(records: pa.Table, until: int) -> pa.Table:
    return records.filter(pc.field("_arrival") < until)


def _refuse_reserved(declaration: Declaration) -> None:
    for name in RESERVED:
        if name in declaration.request or name in {feature.name for feature in declaration.features}:
            raise DeclarationError(
                f"project {declaration.name}", f"{name!r} is a column of every training set", "rename it"
            )
