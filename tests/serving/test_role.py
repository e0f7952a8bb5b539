"""The serve role: a part of it that fails ends it, and what it needs and lacks is named."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.declare.load import read_project
from headrace.errors import MissingExtra
from headrace.profiles import Profile
from headrace.roles import serve
from headrace.roles.context import Context
from headrace.roles.shipping import Shipping
from headrace.serving.sender import Sender
from headrace.serving.swap import Watcher

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("part", "clock"), [(Watcher, "wall"), (Shipping, "wall"), (Sender, "marks")])
def test_a_part_that_fails_ends_the_role(
    part: type, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, *arguments: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(part, "follow" if clock == "marks" else "run", fails)
    registry = SimpleNamespace(champion=lambda: None)
    monkeypatch.setattr(Profile, "open_registry", lambda *_: registry)
    declaration = read_project(ROOT / "examples" / "inventory")
    context = Context.of("serve", declaration, Profile("local", tmp_path, server="http://127.0.0.1:0", clock=clock))
    with pytest.raises(RuntimeError, match="a defect"):
        serve.run(context)
    context.log.writer("serve").close()  # the role gave back its right to write
    context.log.close()


@pytest.mark.parametrize(("package", "module"), [("fastapi", "app"), ("uvicorn", "server")])
def test_a_package_that_is_not_there_is_named_with_its_install_line(
    package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"headrace.serving.{module}")
    with pytest.raises(MissingExtra) as told:
        import_module(f"headrace.serving.{module}")
    assert str(told.value).endswith(
        f"the package '{package}' is not installed. To mend it: pip install 'headrace[serve]'"
    )
