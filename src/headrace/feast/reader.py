"""Reads one registered feature view from the online store."""

from __future__ import annotations

from typing import Any

from headrace.feast.agreement import agree
from headrace.feast.surroundings import Surroundings
from headrace.features.contract import OnlineStore
from headrace.features.vector import Vectors


class Reader:
    """The vectors of one feature view, at the server's clock. kinds: of its columns. keys: its join keys."""

    def __init__(self, view: Any, surroundings: Surroundings, store: OnlineStore) -> None:
        self.view = view
        part = agree(view, surroundings)
        self.kinds = {name: kind.kind for name, kind in part.columns.items()}
        self.keys = list(part.keys)
        self.serve = Vectors(part.declaration, store, surroundings.now).serve
