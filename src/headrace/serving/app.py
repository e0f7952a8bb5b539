"""The HTTP application: predictions, health, metrics, the model."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST

from headrace.declare.declaration import Declaration
from headrace.errors import FeatureError, HeadraceError, MissingExtra, StoreUnavailable
from headrace.serving.predictor import Prediction, Predictor
from headrace.serving.requests import BYTES, ROWS, Refusal, Requests, too_large

try:
    from fastapi import FastAPI, Request, Response
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
except ImportError as error:
    raise MissingExtra("server", "fastapi", "serve") from error

_LOG: Final = logging.getLogger("headrace.serve")
_SMALL: Final = 2_000
"""Bytes up to which a body costs less than the way to another thread and back."""
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def create_app(
    declaration: Declaration,
    predictor: Predictor,
    *,
    warnings: Sequence[Callable[[], str | None]] = (),
    unshipped: Callable[[], int] | None = None,
) -> FastAPI:
    """The application of one project.

    warnings: what `GET /readyz` tells beside its answer, such as a champion that cannot be loaded. unshipped:
    bytes of the prediction log that wait for the log.

    `POST /predict` takes a row or `{"rows": [...]}`. What is more than a few rows is predicted in a thread of its
    own, so that the process stays free for the others, for health and for metrics. Errors are
    `{"error": {"subject", "cause", "remedy", "field"?, "others"?}}`.
    """
    requests = Requests.of(declaration)
    metrics = predictor.metrics
    rehearsal = requests.rehearsal()
    worker = ThreadPoolExecutor(1, "headrace-predict")
    if unshipped is not None:
        metrics.unshipped.set_function(unshipped)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.shutdown()

    app = FastAPI(
        title=declaration.name, summary=f"Predicts {declaration.label.name}.", docs_url=None, redoc_url=None,
        lifespan=lifespan,
    )  # fmt: skip

    async def on_worker(call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(worker, call, *arguments)

    def answer(body: bytes, name: str | None) -> bytes:
        asked = requests.read(body)
        return _answer(predictor.predict(asked.rows, name), asked.many)

    @app.post("/predict", openapi_extra=_operation(declaration, requests), response_class=Response)
    async def predict(request: Request) -> Response:
        """A prediction for each row, from its features at this moment."""
        began, status = time.perf_counter(), 500
        try:
            body = await _body(request)
            name = request.headers.get("idempotency-key")
            content = answer(body, name) if len(body) <= _SMALL else await on_worker(answer, body, name)
            response = Response(content, media_type="application/json")
            status = response.status_code
        except ClientDisconnect:
            response = Response(status_code=(status := 400))  # nobody reads it
        except HeadraceError as error:
            response = _refused(error)
            status = response.status_code
        finally:
            metrics.requests.labels(str(status)).inc()
            metrics.seconds.observe(time.perf_counter() - began)
        return response

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"description": "It cannot answer, and says why."}})
    async def readyz() -> Response:
        """Whether predictions can be made now."""
        reason = await on_worker(predictor.problem, rehearsal)
        told = [text for warning in warnings if (text := warning()) is not None]
        content = {"ready": reason is None, "reasons": [] if reason is None else [reason], "warnings": told}
        return _json(content, 200 if reason is None else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        """For Prometheus."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    @app.get("/model", responses={404: {"description": "No model is loaded."}})
    async def model() -> Response:
        """The model that answers."""
        loaded = predictor.loaded
        if loaded is None:
            return _error(404, {"subject": "model", "cause": "none is loaded", "remedy": "train and promote one"})
        spec = loaded.model.spec
        content: dict[str, Any] = {"version": loaded.version, "sha256": loaded.model.sha256, "task": spec.task}
        if spec.threshold is not None:
            content["threshold"] = spec.threshold.value
        return _json({**content, "metrics": dict(spec.metrics or {})})

    @app.exception_handler(HTTPException)
    async def no_such(request: Request, error: HTTPException) -> Response:
        remedy = "see /openapi.json for what there is"
        content = {"subject": f"{request.method} {request.url.path}", "cause": str(error.detail), "remedy": remedy}
        return _error(error.status_code, content, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        content = {"subject": "server", "cause": "an error of its own", "remedy": "see the server's log"}
        return _error(500, content)

    return app


async def _body(request: Request) -> bytes:
    """The body, never more than is allowed of it. Refusal 413 or 415."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise Refusal("its content type is not JSON", "send content-type: application/json", status=415)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal("its body is encoded", "send it without content-encoding", status=415)
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > BYTES:
        raise too_large()
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BYTES:
            raise too_large()
    return bytes(body)


def _answer(predictions: Sequence[Prediction], many: bool) -> bytes:
    rows = [_told(prediction) for prediction in predictions]
    return _dump({"predictions": rows} if many else rows[0])


def _told(prediction: Prediction) -> dict[str, Any]:
    told = asdict(prediction)
    if prediction.decision is None:
        del told["decision"]
    return told


def _refused(error: HeadraceError) -> Response:
    """What the caller can mend is 4xx; what the server lacks is 503."""
    content: dict[str, Any] = {"subject": error.subject, "cause": error.cause, "remedy": error.remedy}
    if isinstance(error, Refusal):
        if error.field is not None:
            content["field"] = error.field
        if error.others:
            content["others"] = error.others
        return _error(error.status, content)
    if isinstance(error, FeatureError) and not isinstance(error, StoreUnavailable):
        return _error(422, content)
    _LOG.error("a request could not be answered: %s", error)
    return _error(503, content)


def _error(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": content}, status, headers)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_dump(content), status, headers, "application/json")


def _dump(content: Any) -> bytes:
    return _ENCODE(content).encode()


def _operation(declaration: Declaration, requests: Requests) -> dict[str, Any]:
    """What OpenAPI says of /predict."""
    row = requests.row_schema()
    rows = {
        "type": "object", "properties": {"rows": {"type": "array", "items": row, "minItems": 1, "maxItems": ROWS}},
        "required": ["rows"], "additionalProperties": False,
    }  # fmt: skip
    example = requests.example()
    content = {
        "schema": {"oneOf": [row, rows]},
        "examples": {"row": {"value": example}, "rows": {"value": {"rows": [example]}}},
    }
    prediction = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "prediction": {"type": "number", "description": f"of {declaration.label.name}"},
            "model": {"type": "string", "description": "the model's version"},
            "t": {"type": "integer", "description": "the instant of its features, ms since 1970 UTC"},
            "unknown": {"type": "boolean", "description": "predicted from an empty history"},
            "decision": {"type": "boolean", "description": "by the model's threshold, where it has one"},
        },
    }
    many = {"type": "object", "properties": {"predictions": {"type": "array", "items": prediction}}}
    error = {
        "type": "object",
        "properties": {"error": {"type": "object", "properties": {name: {} for name in _ERROR}}},
    }
    refused = {"content": {"application/json": {"schema": error}}}
    answer = {"content": {"application/json": {"schema": {"oneOf": [prediction, many]}}}}
    refusals = {status: {"description": text, **refused} for status, text in _REFUSALS.items()}
    return {
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": {"description": "Predictions.", **answer}, **refusals},
    }


_ERROR: Final = ("subject", "cause", "remedy", "field", "others")
_REFUSALS: Final = {
    "400": "The body is not JSON.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON.",
    "422": "A row is not as declared; the error names the field.",
    "503": "The server cannot predict now.",
}
