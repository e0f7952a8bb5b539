"""Which epochs of a view are listed: those that a reader merges.

A row of the tiles topics without a key lists its epoch, and strikes it off the list where its `n` is 0. The epochs
`<name>~1`, `<name>~2`, ... are listed when `<name>` is, and have no listing of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NUMBERED: Final = re.compile(r"(.*)~[0-9]+", re.DOTALL)


def base(epoch: str) -> str:
    """The epoch whose listing counts for this one.

    >>> base("history-0~12"), base("live-0"), base("live~x")
    ('history-0', 'live-0', 'live~x')
    """
    found = _NUMBERED.fullmatch(epoch)
    return found[1] if found else epoch


def listed(rows: Iterable[tuple[str, int | None]]) -> dict[str, bool]:
    """What listing rows (epoch, n) say of the epochs by name, the later over the earlier.

    >>> listed([("live-0", None), ("history-0", None), ("history-0", 0)])
    {'live-0': True, 'history-0': False}
    """
    return {epoch: n != 0 for epoch, n in rows}
