"""Requests that wait at the same time are predicted together: one read of the store, one predict, one write.

What arrives while the process is busy is taken up as one batch, so batches grow with the load and a lone request
waits for nobody. A request's answer is what it would be alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from headrace.serving.predictor import Prediction, Predictor, Row

ROWS: Final = 64
"""The most rows of a batch: those behind wait for the next, so that the first are not kept waiting."""

_Waiting = tuple[Sequence[Row], str | None, "asyncio.Future[list[Prediction]]"]


class Together:
    """Belongs to one event loop, on which it predicts."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: list[_Waiting] = []

    async def predict(self, rows: Sequence[Row], name: str | None) -> list[Prediction]:
        """What `Predictor.predict` gives for the request, or raises for it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Prediction]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._go, loop)
        self._waiting.append((rows, name, answer))
        return await answer

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        count, taken = 0, 0
        for rows, _, _ in self._waiting:
            count += len(rows)
            if taken and count > ROWS:
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        if self._waiting:
            loop.call_soon(self._go, loop)
        try:
            found = self._predictor.predict_each([(rows, name) for rows, name, _ in batch])
        except BaseException as error:  # a defect: those who wait are told, and the loop's handler too
            for _, _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            raise
        for (_, _, answer), one in zip(batch, found, strict=True):
            if answer.done():  # nobody waits for it any more
                continue
            if isinstance(one, list):
                answer.set_result(one)
            else:
                answer.set_exception(one)
