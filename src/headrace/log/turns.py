"""One transaction of a role whose right to write several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headrace.log.contract import Log, Transaction


@contextmanager
def transaction_in_turn(log: Log, role: str, patience: float = 30.0) -> Iterator[Transaction]:
    """One transaction of a role, when it is our turn.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from headrace.log.sqlite import SqliteLog
    >>> log = SqliteLog(Path(tempfile.mkdtemp()))
    >>> with transaction_in_turn(log, "producers") as transaction:
    ...     transaction.keep("name", b"value")
    >>> with log.turn("producers") as writer:
    ...     writer.kept("name")
    b'value'
    >>> log.close()
    """
    with log.turn(role, patience) as writer, writer.transaction() as transaction:
        yield transaction
