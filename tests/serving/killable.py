"""A program for the kill test: for each folder that it reads from its input, a child that serves from there.

The child prints its process id and its port. When it is dead, the parent goes on.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from headrace.log.sqlite import SqliteLog
from headrace.schema.folder import FolderSchemas
from headrace.serving.app import create_app
from headrace.serving.predictor import Loaded
from headrace.serving.sender import Sender
from headrace.serving.server import serve


def fixtures() -> Any:
    spec = spec_from_file_location("serving_fixtures", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(folder: Path, shared: Any) -> None:
    made = shared.serving_of("fraud", folder)
    made.predictor.swap(Loaded("1", shared.FakeModel()))
    log, schemas = SqliteLog(folder / "log"), FolderSchemas(folder / "schemas")
    sender = Sender(made.declaration, log, schemas, made.folder, partitions=3, now=lambda: int(shared.NOW))
    never = threading.Event()
    threading.Thread(target=sender.run, args=(never,), daemon=True).start()
    app = create_app(made.declaration, made.predictor)
    serve(app, never, port=0, bound=lambda port: print(os.getpid(), port, flush=True))


def main() -> None:
    shared = fixtures()
    shared.read_project(shared.ROOT / "tests" / "projects" / "fraud.py")  # its imports are for all children
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(Path(line.strip()), shared)
            return
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
