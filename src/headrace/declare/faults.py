"""What a user's own code raises, told with the place in the user's file."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What code that is wrong raises."""


def fault_text(error: BaseException, file: Path) -> str:
    """Where in a file an error comes from, and what it is.

    >>> try:
    ...     exec(compile("x = 1\\ny = x.units", "/shop/project.py", "exec"))
    ... except AttributeError as error:
    ...     fault_text(error, Path("/shop/project.py"))
    "project.py, line 2: AttributeError: 'int' object has no attribute 'units'"
    """
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    words = ": ".join([type(error).__name__, *told.splitlines()[:1]])
    line = _line(error, file)
    return words if line is None else f"{file.name}, line {line}: {words}"


def _line(error: BaseException, file: Path) -> int | None:
    """The last line of the file that the error passed; of a syntax error, where it is."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    passed = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return passed[-1] if passed else None
