"""Resolving: each declared function is called once; what it gives is checked and frozen. No I/O."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.declare.declaration import Declaration
from headrace.declare.parts import Parts
from headrace.declare.resolve.cost import check_cost
from headrace.declare.resolve.features import resolution_steps, resolve_features, resolve_request
from headrace.declare.resolve.labels import resolve_label, resolve_model
from headrace.declare.resolve.policy import resolve_monitors, resolve_policy
from headrace.declare.resolve.streams import resolve_streams, resolve_tables
from headrace.declare.resolve.waivers import resolve_waivers
from headrace.declare.resolve.windows import resolve_windows
from headrace.errors import DeclarationError


def resolve(parts: Parts, path: Path, digest: str) -> Declaration:
    """The declaration of a project's parts.

    path: the project file, to which tables' relative sources refer. digest: sha256 of it.
    """
    subject = f"project {parts.name}"
    if not isinstance(parts.name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", parts.name):
        raise DeclarationError(subject, "its name cannot prefix topics", "use small letters, digits and '_'")
    if parts.features is None or parts.label is None or parts.model is None:
        wanted = {"features": parts.features, "label": parts.label, "model": parts.model}
        missing = ", ".join(f"@{parts.name}.{name}" for name, part in wanted.items() if part is None)
        raise DeclarationError(subject, f"it lacks {missing}", "declare it")
    _check_calendar(parts)
    tables = resolve_tables(parts)
    streams = resolve_streams(parts, tables)
    windows = resolve_windows(parts, streams)
    label = resolve_label(parts.label, parts, streams)
    request = resolve_request(parts, streams, label)
    steps = resolution_steps(parts, request, streams, tables, windows, label)
    inputs, features = resolve_features(parts.features, request, tables, steps, windows, label)
    model = resolve_model(parts.model, label)
    check_cost(model, request, features)
    return Declaration(
        name=parts.name,
        path=path,
        entity=parts.entity,
        streams=streams,
        tables=tables,
        views={feature.view.id: feature.view for feature in windows.values()},
        windows=windows,
        request=request,
        resolution=steps,
        inputs=inputs,
        features=features,
        calendar=parts.calendar,
        label=label,
        model=model,
        monitors=resolve_monitors(parts, model),
        retrain=resolve_policy(parts, model),
        waivers=resolve_waivers(parts, features),
        digest=digest,
    )


def _check_calendar(parts: Parts) -> None:
    try:
        ZoneInfo(parts.calendar.timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:  # OSError: a folder, such as 'America'
        raise DeclarationError(
            f"project {parts.name}",
            f"timezone={parts.calendar.timezone!r} is not in the time zone database",
            "use a name such as 'UTC' or 'America/New_York'",
        ) from error
