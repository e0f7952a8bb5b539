"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME [OPTIONS]` runs one."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path


def listed() -> dict[str, str]:
    """The first line of each benchmark's docstring, by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = text.partition("\n")[0]
    return found


def main(argv: list[str]) -> int:
    known = listed()
    if argv and argv[0] in known:
        importlib.import_module(f"benchmarks.{argv[0]}").main(argv[1:])
        return 0
    print("usage: python -m benchmarks NAME [OPTIONS]\n")
    for name, line in known.items():
        print(f"  {name:12} {line}")
    return 2 if argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
