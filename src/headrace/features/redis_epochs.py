"""The Redis store's numbers of views and epochs, and which epochs are listed and hold tiles.

Two hashes hold them: views by id, and epochs by view's number and name. A number is never given twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.features.listing import base, listed


class Epochs:
    """views: numbers by id. epochs: by (view's number, name) their number, whether listed, whether filled."""

    def __init__(self, views: Mapping[bytes, bytes], epochs: Mapping[bytes, bytes]) -> None:
        self.views = {view.decode(): int(number) for view, number in views.items()}
        self._epochs: dict[tuple[int, str], tuple[int, bool, bool]] = {}
        for place, text in epochs.items():
            view, _, name = place.decode().partition(":")
            number, is_listed, filled = map(int, text.split())
            self._epochs[int(view), name] = number, bool(is_listed), bool(filled)
        self._next = max((number for number, _, _ in self._epochs.values()), default=0) + 1

    def view(self, id_: str) -> int:
        """The number of a view, a new one if need be."""
        return self.views.setdefault(id_, len(self.views) + 1)

    def fill(self, view: int, names: Iterable[str]) -> dict[str, int]:
        """Notes that epochs of a view hold tiles; their numbers."""
        return {name: self._set(view, name, None, True) for name in names}

    def list(self, view: int, rows: Iterable[tuple[str, int | None]]) -> None:
        """Applies listing rows: epoch and n."""
        for name, shown in listed(rows).items():
            self._set(view, name, shown, None)

    def begun(self) -> dict[str, tuple[int, frozenset[int]]]:
        """By id of each view that holds listed tiles: its number, and the numbers of those epochs."""
        ids = {number: view for view, number in self.views.items()}
        found: dict[str, set[int]] = {}
        for (view, name), (number, _, filled) in self._epochs.items():
            _, shown, _ = self._epochs.get((view, base(name)), (0, False, False))
            if filled and shown:
                found.setdefault(ids[view], set()).add(number)
        return {view: (self.views[view], frozenset(numbers)) for view, numbers in found.items()}

    def dump(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """The two hashes."""
        views = {view.encode(): str(number).encode() for view, number in self.views.items()}
        epochs = {
            f"{view}:{name}".encode(): f"{number} {shown:d} {filled:d}".encode()
            for (view, name), (number, shown, filled) in self._epochs.items()
        }
        return views, epochs

    def _set(self, view: int, name: str, shown: bool | None, filled: bool | None) -> int:
        known = self._epochs.get((view, name))
        if known is None:
            known = self._next, False, False
            self._next += 1
        number, was_shown, was_filled = known
        self._epochs[view, name] = (
            number,
            was_shown if shown is None else shown,
            was_filled if filled is None else filled,
        )
        return number
