"""The README's first code is a project that loads, and it stands within 30 lines."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.compile.load import load

README = Path(__file__).parents[2] / "README.md"


def test_the_first_code_is_a_project(tmp_path: Path) -> None:
    text = README.read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert text[: code.start()].count("\n") < 30
    (tmp_path / "project.py").write_text(code[1])
    assert load(tmp_path).label.name == "units_next_7d"


def test_what_must_not_stand_in_the_tree() -> None:
    forbidden = re.compile("/" + "root/|index" + "-url")
    root = README.parent
    files = [
        file
        for folder in ("src", "tests", "docs", "examples", "benchmarks")
        for file in (root / folder).rglob("*")
        if file.suffix in (".py", ".md", ".toml") and ".headrace" not in file.parts and file != Path(__file__)
    ]
    assert [str(file) for file in files if forbidden.search(file.read_text())] == []
