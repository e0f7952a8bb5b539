"""Writes generated files: YAML and JSON that begin by saying where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from headrace.errors import DeployError


def write_yaml(path: Path, *documents: Any, command: str) -> Path:
    """command: that made the file, for its first line."""
    text = yaml.safe_dump_all(documents, sort_keys=False, width=110, allow_unicode=True)
    return _write(path, f"# Written by `{command}`; write it again rather than change it.\n{text}")


def write_json(path: Path, content: Any) -> Path:
    return _write(path, json.dumps(content, indent=2, sort_keys=False, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeployError(f"{path}", f"it cannot be written: {error.strerror}", "choose another folder") from error
    return path
