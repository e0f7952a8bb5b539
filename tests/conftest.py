"""Fixtures that several chapters share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The cluster profile's servers, none of which runs yet: `stack.start("kafka")` is what a test asks for.

    One for the whole session. A test may kill a server, and starts it again at its end. HEADRACE_TEST_STACK names
    the home of a stack that runs already, which is used instead and is left running.
    """
    given = os.environ.get("HEADRACE_TEST_STACK")
    if given:
        yield Stack(Path(given))
        return
    home = Path(tempfile.mkdtemp(prefix="headrace-stack-"))
    home.chmod(0o755)  # the user postgres passes through
    stack = Stack(home)
    try:
        stack.install()
    except StackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has not all servers: {error}")
        pytest.skip(f"not all servers are here: {error}")
    try:
        yield stack
    finally:
        stack.purge()
        shutil.rmtree(home)
