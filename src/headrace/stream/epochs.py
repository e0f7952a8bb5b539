"""Epochs: one run of the tiler's state for a view, from a recorded vector of offsets on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from headrace.log.batches import Partition, Positions


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of a view. vector: where it begins in the enriched topics. listed: whether readers know of it yet.
    before: the epochs that it takes the place of, once it is listed.

    >>> epoch = Epoch.at({("shop.enriched.sale", 0): 7})
    >>> Epoch.load(epoch.dump()) == epoch, epoch.history.partition("-")[0], Epoch.at({}).name
    (True, 'history', 'live-0')
    """

    name: str
    vector: dict[Partition, int]
    listed: bool
    before: tuple[str, ...] = ()

    @classmethod
    def at(cls, positions: Positions) -> Epoch:
        """The epoch that begins at positions; with an empty vector where that is the very beginning."""
        vector = {place: offset for place, offset in sorted(positions.items()) if offset}
        digest = hashlib.sha256(json.dumps(list(vector.items())).encode()).hexdigest()[:8] if vector else "0"
        return cls(f"live-{digest}", vector, listed=False)

    @property
    def history(self) -> str:
        """The name of the epoch of what lies before the vector."""
        return "history-" + self.name.partition("-")[2]

    def made_known(self) -> Epoch:
        """The same epoch, listed."""
        return replace(self, listed=True)

    def dump(self) -> bytes:
        vector = [[*place, offset] for place, offset in self.vector.items()]
        found = {"epoch": self.name, "vector": vector, "listed": self.listed, "before": self.before}
        return json.dumps(found).encode()

    @classmethod
    def load(cls, text: bytes) -> Epoch:
        found = json.loads(text)
        vector = {(topic, partition): offset for topic, partition, offset in found["vector"]}
        return cls(found["epoch"], vector, found["listed"], tuple(found.get("before", ())))
