"""Where what is installed lives: never in the repository, shared by every stack of a user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """HEADRACE_STACK, else `headrace/stack` under XDG_CACHE_HOME, else under ~/.cache."""
    given = os.environ.get("HEADRACE_STACK")
    if given:
        return Path(given).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser().resolve() / "headrace" / "stack"
