"""Reads a project file: imports it and resolves the one project that it declares."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from headrace.declare.declaration import Declaration
from headrace.declare.faults import FAULTS, fault_text
from headrace.declare.project import Project
from headrace.declare.resolve import resolve
from headrace.errors import DeclarationError


def project_file(path: Path) -> Path:
    """The project file: the path itself, or `project.py` in that folder."""
    file = path / "project.py" if path.is_dir() else path
    if not file.is_file():
        raise DeclarationError(f"project {path}", f"there is no file {file}", "name a project file or its folder")
    return file.resolve()


def read_project(path: Path) -> Declaration:
    """The declaration of a project file (or of `project.py` in a folder)."""
    file = project_file(path)
    try:
        source = file.read_bytes()
    except OSError as error:
        raise DeclarationError(
            f"project {path}", f"{file} cannot be read: {error.strerror}", "let this user read it"
        ) from error
    name = f"headrace_project_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"project {path}", f"{file.name} is not a Python file", "name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FAULTS as error:
        del sys.modules[name]
        raise DeclarationError(
            f"project {path}", f"{file.name} cannot be imported: {fault_text(error, file)}", "correct it"
        ) from error
    projects = list({id(value): value for value in vars(module).values() if isinstance(value, Project)}.values())
    if len(projects) != 1:
        raise DeclarationError(
            f"project {path}", f"{file.name} declares {len(projects)} projects", "declare one headrace.Project"
        )
    return resolve(projects[0].parts, file, hashlib.sha256(source).hexdigest())
