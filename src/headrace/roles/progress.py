"""How far a sink has come, told on the log."""

from __future__ import annotations

from headrace.log.batches import Positions
from headrace.roles.context import Context


class Progress:
    """Publishes how far a sink has come as its group's offsets: for lag and for the replayer only."""

    def __init__(self, context: Context) -> None:
        self._writer = context.log.writer(context.role)
        self._last: tuple[Positions, int | None] | None = None

    def publish(self, positions: Positions, mark: int | None) -> None:
        state = (dict(positions), mark)
        if state != self._last:
            with self._writer.transaction() as transaction:
                transaction.commit(positions, mark)
            self._last = state

    def close(self) -> None:
        self._writer.close()
