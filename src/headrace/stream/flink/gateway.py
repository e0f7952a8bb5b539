"""Flink's SQL Gateway and the job manager's REST API, as far as the engine needs them.

Source: Flink 2.2, "SQL Gateway REST Endpoint" (v2) and "REST API".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from headrace.errors import FlinkError, MissingExtra

try:
    import httpx
except ImportError as error:  # the adapter is imported only where a profile names Flink
    raise MissingExtra("the engine on Flink", "httpx", "flink") from error

_PAUSE: Final = 0.05
_ENDED: Final = frozenset({"FINISHED", "FAILED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class Running:
    """A job as the job manager lists it. state: as Flink names it, such as RUNNING."""

    id: str
    name: str
    state: str

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


class Session:
    """An open session of the gateway: statements one after the other."""

    def __init__(self, client: httpx.Client, gateway: str, handle: str) -> None:
        self._client, self._gateway, self._handle = client, gateway, handle

    def execute(self, sql: str, timeout: float = 120.0) -> list[dict[str, Any]]:
        """The rows of a statement's result, once it has ended. FlinkError with the root cause where it fails."""
        place = f"{self._gateway}/v2/sessions/{self._handle}"
        handle = _asked(self._client.post, f"{place}/statements", json={"statement": sql})["operationHandle"]
        operation = f"{place}/operations/{handle}"
        until = time.monotonic() + timeout
        while (status := _asked(self._client.get, f"{operation}/status")["status"]) in (
            "PENDING",
            "RUNNING",
            "INITIALIZED",
        ):
            if time.monotonic() > until:
                raise FlinkError("Flink's SQL Gateway", f"no answer within {timeout:.0f} s", "look at its log")
            time.sleep(_PAUSE)
        rows: list[dict[str, Any]] = []
        following: str | None = f"/v2/sessions/{self._handle}/operations/{handle}/result/0?rowFormat=JSON"
        while following is not None:
            page = _asked(self._client.get, self._gateway + following, subject=f"a statement that ended {status}")
            results = page.get("results", {})
            names = [column["name"] for column in results.get("columns", [])]
            rows += [dict(zip(names, row["fields"], strict=True)) for row in results.get("data", [])]
            following = page.get("nextResultUri")
            if page.get("resultType") == "NOT_READY":
                if time.monotonic() > until:
                    raise FlinkError("Flink's SQL Gateway", f"no result within {timeout:.0f} s", "look at its log")
                time.sleep(_PAUSE)
        return rows


class Gateway:
    """The way to one Flink cluster. gateway, rest: URLs without a slash at the end."""

    def __init__(self, gateway: str, rest: str) -> None:
        self._gateway, self._rest = gateway.rstrip("/"), rest.rstrip("/")
        self._client = httpx.Client(timeout=30.0)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def session(self, settings: Mapping[str, str]) -> Iterator[Session]:
        """A session with settings of its own; closed at the end."""
        opened = _asked(self._client.post, f"{self._gateway}/v2/sessions", json={"properties": dict(settings)})
        handle = opened["sessionHandle"]
        try:
            yield Session(self._client, self._gateway, handle)
        finally:
            _asked(self._client.delete, f"{self._gateway}/v2/sessions/{handle}")

    def jobs(self) -> list[Running]:
        """All jobs that the job manager knows, the newest first."""
        jobs = self._get("/jobs/overview")["jobs"]
        jobs.sort(key=lambda job: job["start-time"], reverse=True)
        return [Running(job["jid"], job["name"], job["state"]) for job in jobs]

    def checkpoint(self, job: str) -> str | None:
        """Where a job's newest completed checkpoint is."""
        found = self._get(f"/jobs/{job}/checkpoints")["latest"]["completed"]
        return None if found is None else found["external_path"]

    def state_size(self, job: str) -> int:
        """Bytes of a job's newest completed checkpoint; 0 without one."""
        found = self._get(f"/jobs/{job}/checkpoints")["latest"]["completed"]
        return (
            0
            if found is None
            else int(found["checkpointed_size"] if found["state_size"] is None else found["state_size"])
        )

    def failure(self, job: str) -> str | None:
        """The root cause of a job's newest failure."""
        found = self._get(f"/jobs/{job}/exceptions")
        history = found.get("exceptionHistory", {}).get("entries", [])
        return _root(history[0]["stacktrace"]) if history else None

    def stop(self, job: str, folder: str | None = None, timeout: float = 120.0) -> str:
        """Stops a job with a savepoint; where that is."""
        body = {"drain": False} | ({} if folder is None else {"targetDirectory": folder})
        trigger = _asked(self._client.post, f"{self._rest}/jobs/{job}/stop", json=body)["request-id"]
        until = time.monotonic() + timeout
        while True:
            answer = self._get(f"/jobs/{job}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    return str(operation["location"])
                cause = _root(str(operation.get("failure-cause", {}).get("stack-trace", "it failed")))
                raise FlinkError(
                    f"job {job}", f"it cannot stop with a savepoint: {cause}", "see why it fails, or cancel it"
                )
            if time.monotonic() > until:
                raise FlinkError(
                    f"job {job}", f"no savepoint within {timeout:.0f} s", "see why it does not checkpoint"
                )
            time.sleep(_PAUSE)

    def cancel(self, job: str) -> None:
        """Ends a job at once."""
        response = self._client.patch(f"{self._rest}/jobs/{quote(job)}", params={"mode": "cancel"})
        if response.status_code not in (202, 404, 409):  # 409: it has ended meanwhile
            raise FlinkError(f"job {job}", f"it cannot be cancelled: {response.text[:200]}", "try again")

    def _get(self, path: str) -> dict[str, Any]:
        return _asked(self._client.get, self._rest + path)


def _asked(method: Any, url: str, subject: str = "Flink", **given: Any) -> dict[str, Any]:
    """The answer of a request. FlinkError names the cause, UnreachableFlink where there is none."""
    try:
        response = method(url, **given)
    except httpx.TransportError as error:
        raise UnreachableFlink(
            "Flink",
            f"nothing answers at {url.split('/v2/')[0]} ({type(error).__name__})",
            "run `headrace stack doctor`",
        ) from error
    if response.status_code >= 400:
        found = response.json() if "json" in response.headers.get("content-type", "") else {}
        cause = _root("\n".join(map(str, found.get("errors", [response.text]))))
        raise FlinkError(subject, cause, "correct what it names")
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer


class UnreachableFlink(FlinkError):
    """Neither the gateway nor the job manager answers."""


def _root(trace: str) -> str:
    """The innermost cause of a Java stack trace, without the name of its class's package."""
    causes = [line.strip() for line in trace.splitlines() if line.startswith(("Caused by:", "\nCaused by:"))]
    lines = causes or [
        line.strip() for line in trace.splitlines() if line.strip() and not line.strip().startswith("at ")
    ]
    line = (lines[-1] if causes else lines[0] if lines else trace).removeprefix("Caused by:").strip()
    head, colon, rest = line.partition(": ")
    return f"{head.rsplit('.', 1)[-1]}{colon}{rest}"
