"""Slices: what of a project is served alone, each as a small declaration with a request and features of its own.

So a slice is computed by what serves and trains the whole project (features/vector.py), and not by anything new.
There is one for the windows of each decorated function and key, one for each table, and one for the features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from headrace.declare.declaration import Declaration, Feature, Join, Lookup, TableDef, WindowFeature
from headrace.declare.duration import duration_text
from headrace.declare.row import relation
from headrace.declare.types import ColumnType
from headrace.errors import DeclarationError
from headrace.features.needs import Needs

FEATURES: Final = "features"
"""The slice of the finalised features: what the model is given."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One part of a project. keys: by which it is asked for; they and the columns keep their declared order.

    declaration: the project, with the slice's keys as its request and its columns as its features. ttl: in ms,
    None for ever. notes: what a column holds, in words, where that is known.
    """

    name: str
    declaration: Declaration
    ttl: int | None
    description: str
    notes: Mapping[str, str]

    @property
    def keys(self) -> Mapping[str, ColumnType]:
        return self.declaration.request

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {feature.name: feature.type for feature in self.declaration.features}


def slices(declaration: Declaration) -> dict[str, Slice]:
    """Every slice of a project by its name; DeclarationError where two would have one name.

    >>> from headrace.declare.load import read_project
    >>> from pathlib import Path
    >>> fraud = slices(read_project(Path("tests/projects/fraud.py")))
    >>> {name: list(one.keys) for name, one in fraud.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'recent_by_card': ['card'], 'recent_by_sector': ['sector'], 'merchant': ['merchant'],
     'features': ['card', 'merchant', 'amount']}
    """
    found: dict[str, Slice] = {}
    for one in _all(declaration):
        if one.name in found:
            raise DeclarationError(
                f"project {declaration.name}",
                f"{found[one.name].description} and {one.description} would both be called {one.name!r} in Feast",
                "rename one",
            )
        found[one.name] = one
    return found


def _all(declaration: Declaration) -> Iterator[Slice]:
    groups: dict[tuple[str, tuple[str, ...]], list[WindowFeature]] = {}
    for window in declaration.windows.values():
        groups.setdefault((window.name.split("__")[0], window.view.by), []).append(window)
    for (function, by), windows in groups.items():
        yield _windows(declaration, function, by, windows)
    for table in declaration.tables.values():
        yield _table(declaration, table)
    yield _features(declaration)


def _windows(declaration: Declaration, function: str, by: tuple[str, ...], windows: list[WindowFeature]) -> Slice:
    stream = declaration.streams[windows[0].view.stream]
    keys = {name: stream.enriched[name] for name in by}
    inputs = {window.name: window.type for window in windows}
    names = {window.name: window.name.split("__")[1] for window in windows}
    notes = {names[window.name]: _note(window) for window in windows}
    description = f"windows {function} over {stream.title}, by {', '.join(by)}"
    part = replace(
        declaration, request=keys, resolution=(), inputs={**keys, **inputs}, features=_same(inputs, names, keys)
    )
    return Slice(f"{function}_by_{'_'.join(by)}", part, None, description, notes)


def _note(window: WindowFeature) -> str:
    per = "" if window.per is None else f" per {duration_text(window.per)}"
    return f"{window.aggregate}{per} over {duration_text(window.size)}"


def _table(declaration: Declaration, table: TableDef) -> Slice:
    keys = {name: table.columns[name] for name in table.key}
    names = {table.column(name): name for name in table.columns if name not in keys}
    inputs = {table.column(name): ColumnType(kind.kind, nullable=True) for name, kind in table.columns.items()}
    columns = {column: inputs[column] for column in names}
    part = replace(
        declaration,
        request=keys,
        resolution=(Lookup(Join(table, table.key)),),
        inputs={**keys, **inputs},
        features=_same(columns, names, keys),
    )
    return Slice(table.title, part, table.ttl, f"rows of the table {table.title}", {})


def _features(declaration: Declaration) -> Slice:
    needed = Needs(declaration).request or declaration.entity
    keys = {name: kind for name, kind in declaration.request.items() if name in needed}
    features = tuple(replace(one, name=_apart(one.name, keys)) for one in declaration.features)
    part = replace(declaration, request=keys, features=features)
    return Slice(FEATURES, part, None, "the model's features", {})


def _same(
    columns: Mapping[str, ColumnType], names: Mapping[str, str], keys: Mapping[str, ColumnType]
) -> tuple[Feature, ...]:
    """Columns of the relation as they are, under names of their own."""
    record = relation({**keys, **columns})
    return tuple(
        Feature(_apart(names[column], keys), record[column], ColumnType(kind.kind, nullable=True))
        for column, kind in columns.items()
    )


def _apart(name: str, keys: Mapping[str, ColumnType]) -> str:
    """In Feast a column that has the name of a join key is that key."""
    return f"feature_{name}" if name in keys else name
