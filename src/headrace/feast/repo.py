"""The Feast repo of a project as text: `feature_store.yaml`, and the objects that `feast apply` registers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from headrace.declare.declaration import Declaration
from headrace.declare.types import ColumnType, Kind
from headrace.errors import DeclarationError, SourceError
from headrace.feast.slices import FEATURES, Slice, slices

MARK: Final = "Written by `headrace export feast`"
TYPES: Final[Mapping[Kind, tuple[str, str]]] = {
    "str": ("STRING", "String"),
    "int": ("INT64", "Int64"),
    "float": ("DOUBLE", "Float64"),
    "bool": ("BOOL", "Bool"),
    "time": ("INT64", "Int64"),
}
"""Feast's value type and field type of each kind. A time is its milliseconds: Feast's own type keeps seconds."""

_YAML: Final = """\
# {mark}, which writes it anew. The objects are in features.py.
project: {project}
provider: local
registry: registry.db
entity_key_serialization_version: 3
offline_store:
  type: headrace.feast.offline.HeadraceOfflineStore
{place}
online_store:
  type: headrace.feast.online.HeadraceOnlineStore
{place}
"""
_HEAD: Final = '''\
"""{mark} from project {project}. Do not change it: write it anew when the project changes."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import {types}

from headrace.feast.source import HeadraceSource

'''


def export(declaration: Declaration, profile: str, home: Path | None, folder: Path) -> list[Path]:
    """Writes the repo; its files. SourceError where one of them is there and was not written by this command."""
    files = {
        folder / "feature_store.yaml": store_text(declaration, profile, home, folder),
        folder / "features.py": objects_text(declaration),
    }
    for file in files:
        if file.exists() and MARK not in file.read_text(encoding="utf-8", errors="replace"):
            raise SourceError(f"file {file}", "it is there, and not of this command", "name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    return list(files)


def store_text(declaration: Declaration, profile: str, home: Path | None, folder: Path) -> str:
    """feature_store.yaml. The project's path is relative to the repo's folder, so that both may move together."""
    project = os.path.relpath(declaration.path, folder.resolve())
    settings = {"project": project, "profile": profile} | ({} if home is None else {"home": str(home.resolve())})
    place = "\n".join(f"  {name}: {json.dumps(text)}" for name, text in settings.items())
    return _YAML.format(mark=MARK, project=json.dumps(declaration.name), place=place)


def objects_text(declaration: Declaration) -> str:
    """features.py: an entity a key column, a feature view a slice, a feature service of the model's features."""
    found = slices(declaration)
    kinds = {TYPES[kind.kind][1] for one in found.values() for kind in (*one.keys.values(), *one.columns.values())}
    head = _HEAD.format(mark=MARK, project=declaration.name, types=", ".join(sorted(kinds)))
    service = (
        f"service_{FEATURES} = FeatureService(name={declaration.name!r}, features=[view_{FEATURES}], "
        f"description={'what the model is given'!r})\n"
    )
    return "\n".join([head, *_entities(declaration, found), "", *map(_view, found.values()), service])


def _entities(declaration: Declaration, found: Mapping[str, Slice]) -> Iterator[str]:
    kinds: dict[str, ColumnType] = {}
    for one in found.values():
        for name, kind in one.keys.items():
            known = kinds.setdefault(name, kind)
            if TYPES[known.kind] != TYPES[kind.kind]:
                raise DeclarationError(
                    f"project {declaration.name}",
                    f"the key {name!r} is {known} in one place and {kind} in {one.description}: it is one entity",
                    "give one of the columns another name",
                )
    for name, kind in kinds.items():
        note = f", description={'ms since 1970 UTC'!r}" if kind.kind == "time" else ""
        yield (
            f"entity_{name} = Entity(name={name!r}, join_keys=[{name!r}], "
            f"value_type=ValueType.{TYPES[kind.kind][0]}{note})"
        )


def _view(one: Slice) -> str:
    life = "0" if one.ttl is None else f"milliseconds={one.ttl}"
    fields = [_field(name, kind, "") for name, kind in one.keys.items()]
    fields += [_field(name, kind, one.notes.get(name, "")) for name, kind in one.columns.items()]
    return "\n".join(
        [
            f"view_{one.name} = FeatureView(",
            f"    name={one.name!r},",
            f"    description={one.description!r},",
            f"    entities=[{', '.join(f'entity_{name}' for name in one.keys)}],",
            f"    ttl=timedelta({life}),",
            "    schema=[",
            *(f"        {field}," for field in fields),
            "    ],",
            f"    source=HeadraceSource(name={one.name!r}, description={one.description!r}),",
            ")\n",
        ]
    )


def _field(name: str, kind: ColumnType, note: str) -> str:
    notes = [text for text in (note, "ms since 1970 UTC" if kind.kind == "time" else "") if text]
    described = f", description={'; '.join(notes)!r}" if notes else ""
    return f"Field(name={name!r}, dtype={TYPES[kind.kind][1]}{described})"
