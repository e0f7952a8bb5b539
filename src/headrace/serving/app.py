"""The HTTP application: predictions, explanations, health, metrics, the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from headrace.declare.declaration import Declaration
from headrace.errors import HeadraceError, MissingExtra
from headrace.serving.answers import dump, failed, refused, told
from headrace.serving.endpoint import Predict, Receive, Scope, Send
from headrace.serving.openapi import explanation_operation, predict_operation
from headrace.serving.past import Past
from headrace.serving.predictor import Predictor
from headrace.serving.requests import Requests

try:
    from fastapi import FastAPI, Request, Response
    from starlette.exceptions import HTTPException
    from starlette.middleware.errors import ServerErrorMiddleware
except ImportError as error:
    raise MissingExtra("server", "fastapi", "serve") from error


class Application:
    """`POST /predict` by its endpoint, all else by FastAPI."""

    def __init__(self, predict: Any, rest: FastAPI) -> None:
        self._predict = predict
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST"
        await (self._predict if mine else self._rest)(scope, receive, send)


def create_app(
    declaration: Declaration,
    predictor: Predictor,
    *,
    warnings: Sequence[Callable[[], str | None]] = (),
    unshipped: Callable[[], int] | None = None,
    past: Past | None = None,
) -> Application:
    """The application of one project.

    warnings: what `GET /readyz` tells beside its answer, such as a champion that cannot be loaded. unshipped:
    bytes of the prediction log that wait for the log. past: explains logged predictions; without it, none is known.

    `POST /predict` takes a row or `{"rows": [...]}`, and `"explain": true` beside. Errors are
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

    @app.post("/predict", openapi_extra=predict_operation(declaration, requests), response_class=Response)
    async def predict() -> Response:
        """A prediction for each row, from its features at this moment."""
        raise NotImplementedError  # `Predict` answers; here it is described

    @app.get("/predictions/{id}/explanation", openapi_extra=explanation_operation(), response_class=Response)
    async def explanation(id: str) -> Response:
        """Why a prediction was what it was, from its logged features, by the model version that made it."""
        try:
            found = None if past is None else await on_worker(past.explain, id, predictor.loaded)
        except HeadraceError as error:
            status, content = refused(error)
            return Response(content, status, media_type="application/json")
        if found is None:
            remedy = "send the id of an answer of this project's server"
            return _error(404, {"subject": f"prediction {id[:80]}", "cause": "none is known", "remedy": remedy})
        return _json(told(found.prediction, found.explanation))

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

    endpoint = Predict(requests, predictor, worker)
    return Application(ServerErrorMiddleware(endpoint, handler=unexpected), app)


def _error(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(failed(content), status, headers, "application/json")


def _json(content: Any, status: int = 200) -> Response:
    return Response(dump(content), status, media_type="application/json")
