"""Turns: a role whose right to write several processes share takes it for one transaction at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from headrace.errors import WriterTaken
from headrace.log.contract import Log, Transaction, Writer

_IDLE: Final = 0.002


@contextmanager
def turn(log: Log, role: str, patience: float = 30.0) -> Iterator[Writer]:
    """A role's writer, given back at the end. WriterTaken where others hold it longer than `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            writer = log.writer(role)
            break
        except WriterTaken:
            if time.monotonic() > until:
                raise
            time.sleep(_IDLE)
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def transaction_in_turn(log: Log, role: str, patience: float = 30.0) -> Iterator[Transaction]:
    """One transaction of a role, when it is our turn.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.log.sqlite import SqliteLog
    >>> log = SqliteLog(Path(tempfile.mkdtemp()))
    >>> with transaction_in_turn(log, "producers") as transaction:
    ...     transaction.keep("name", b"value")
    >>> with turn(log, "producers") as writer:
    ...     writer.kept("name")
    b'value'
    >>> log.close()
    """
    with turn(log, role, patience) as writer, writer.transaction() as transaction:
        yield transaction
