"""A server that speaks as much of Kubeflow Pipelines' API v2beta1 as a run needs, and refuses what is malformed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

RUN = "7b1f0c5e-0000-4000-8000-00000000f00d"
_TIME = "2026-01-01T00:00:0{}Z"


def strictly(spec: dict[str, Any]) -> tuple[Any, Any]:
    """A package as the server parses it; ParseError where it has a field that its protocol has not."""
    return (
        json_format.ParseDict(spec["pipeline_spec"], pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False),
        json_format.ParseDict(spec["platform_spec"], pipeline_spec_pb2.PlatformSpec(), ignore_unknown_fields=False),
    )


class KubeflowServer:
    """scenes: for each time that the run is asked for, its state and those of its tasks; the last one stays."""

    def __init__(self, scenes: Sequence[tuple[str, dict[str, str]]], ended: Callable[[], None]) -> None:
        self.scenes, self.ended = list(scenes), ended
        self.submitted: dict[str, Any] = {}
        self.experiments: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        self.asked.append(f"{method} {path}")
        match method, path:
            case "GET", "/apis/v2beta1/healthz":
                return {"multi_user": False}
            case "GET", "/apis/v2beta1/experiments":
                return {"experiments": self.experiments}
            case "POST", "/apis/v2beta1/experiments":
                self.experiments.append({**body, "experiment_id": "e1"})
                return self.experiments[-1]
            case "POST", "/apis/v2beta1/runs":
                strictly(body["pipeline_spec"])
                self.submitted = body
                return {**body, "run_id": RUN, "state": "PENDING"}
            case "GET", _ if path == f"/apis/v2beta1/runs/{RUN}":
                return self._run()
        return None

    def _run(self) -> dict[str, Any]:
        state, tasks = self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]
        if state == "SUCCEEDED":
            self.ended()
        return {"run_id": RUN, "state": state, "run_details": {"task_details": [
            _task(name, of) for name, of in {"root": state, **tasks, "train-driver": "SUCCEEDED"}.items()
        ]}}  # fmt: skip


def _task(name: str, state: str) -> dict[str, Any]:
    state, _, why = state.partition(": ")
    over = state in ("SUCCEEDED", "FAILED")
    return {
        "display_name": name,
        "state": state,
        "create_time": _TIME.format(1),
        "start_time": _TIME.format(2),
        "end_time": _TIME.format(5) if over else "1970-01-01T00:00:00Z",
        **({"error": {"code": 13, "message": why}} if why else {}),
    }


@contextmanager
def serving(server: KubeflowServer) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                found = server.answer(self.command, self.path.partition("?")[0], body)
                status = 404 if found is None else 200
            except json_format.ParseError as error:
                status, found = 400, {"code": 3, "message": str(error)}
            data = json.dumps(found or {"code": 5, "message": "not found"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _reply  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()
