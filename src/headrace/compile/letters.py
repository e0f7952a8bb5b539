"""Letters whose two cases pair one to one: ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic.

Engines disagree on the rest (`ß`, `İ`, a final sigma, new letters, Java's locale): upper and lower leave it alone.
"""

from __future__ import annotations

from typing import Final


def _pairs() -> list[tuple[str, str]]:
    upper = map(chr, [*range(0x41, 0x180), *range(0x370, 0x530)])
    pairs = [(char, char.lower()) for char in upper]
    return [(big, small) for big, small in pairs if big != small and len(small) == 1 and small.upper() == big]


UPPER: Final = "".join(big for big, _ in _pairs())
LOWER: Final = "".join(small for _, small in _pairs())
