"""Whether a registered feature view is still what the project declares."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from headrace.feast.repo import TYPES
from headrace.feast.slices import Slice
from headrace.feast.surroundings import Surroundings


def agree(view: Any, surroundings: Surroundings) -> Slice:
    """The slice of a feature view. FeatureError where names, types or the life of the two are not the same."""
    one = surroundings.slice(view.batch_source.name if view.batch_source is not None else view.name)
    registered = {field.name: field.dtype.to_value_type().name for field in (*view.entity_columns, *view.features)}
    declared = {name: TYPES[kind.kind][0] for name, kind in {**one.keys, **one.columns}.items()}
    apart = sorted(name for name in registered if registered[name] != declared.get(name))
    if {field.name for field in view.entity_columns} != set(one.keys):
        apart += sorted(one.keys)
    if apart:
        raise surroundings.changed(
            f"feature view {view.name}", f"the project declares {', '.join(apart)} otherwise than Feast's registry"
        )
    if (view.ttl or timedelta()) != timedelta(milliseconds=one.ttl or 0):
        raise surroundings.changed(f"feature view {view.name}", f"its ttl is {view.ttl}, and the project's is not")
    return one
