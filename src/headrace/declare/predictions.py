"""The columns of the predictions topic: what the server logs, and the archive and the monitor read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headrace.declare.declaration import Declaration
from headrace.declare.types import ColumnType

SYSTEM: Final[Mapping[str, ColumnType]] = {
    "_id": ColumnType("str"),
    "_t": ColumnType("int"),
    "_made": ColumnType("int"),
    "_model": ColumnType("str"),
    "_prediction": ColumnType("float"),
    "_unknown": ColumnType("bool"),
    "_decision": ColumnType("bool"),
}
"""The system's own columns: id, t and the server's clock (ms), model version, output, whether history is empty, and
what was decided (null where no cost is declared)."""


def prediction_columns(declaration: Declaration) -> dict[str, ColumnType]:
    """All columns in order: the system's own, the request's, and `feature__<name>` as served."""
    features = {f"feature__{feature.name}": feature.type for feature in declaration.features}
    return {**SYSTEM, **declaration.request, **features}
