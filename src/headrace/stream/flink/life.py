"""The life of one job: adopted where it runs, gone on with from its newest state, begun where there is none."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from typing import Final

from headrace.compile.sql import quoted
from headrace.errors import FlinkError
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import Job
from headrace.stream.flink.gateway import Gateway, Running, Session, UnreachableFlink
from headrace.stream.flink.settings import settings
from headrace.stream.flink.states import State, States

_EVERY: Final = 0.5
"""Seconds between two looks at a job."""
_FIRST_BACKOFF: Final = 0.5
_LAST_BACKOFF: Final = 30.0
_REFUSED: Final = (
    "Cannot map checkpoint/savepoint state",
    "Failed to rollback to",
    "Could not restore",
    "StateMigration",
)
_SAY: Final = logging.getLogger("headrace.flink")


class Life:
    """Keeps one job running. `tend` is to be called again and again; it never waits for long.

    The job's name carries a digest of its text: a job of another text is stopped with a savepoint, from which the
    new one goes on.
    """

    def __init__(self, gateway: Gateway, cluster: Cluster, job: Job, since: int = 0) -> None:
        self._gateway, self._cluster, self._job = gateway, cluster, job
        digest = hashlib.sha256(job.script.encode()).hexdigest()[:8]
        self._name = f"{job.name} {digest}"
        self.states = States(f"{cluster.checkpoints}/{job.name.replace(' ', '-')}", since)
        self._id: str | None = None
        self._look = 0.0
        self._again = 0.0
        self._backoff = _FIRST_BACKOFF
        self._silent = False
        self._from: State | None = None
        self.refused: str | None = None
        """Why the newest state cannot be gone on from, once Flink has said so."""

    @property
    def id(self) -> str | None:
        """The job's id at the job manager, once it is known."""
        return self._id

    def found(self) -> bool:
        """Whether the job runs at the job manager, in any text; True where that does not answer."""
        if self._id is not None:
            return True
        try:
            return bool(self._mine())
        except UnreachableFlink:
            return True

    def tend(self) -> bool:
        """Looks after the job; whether it runs."""
        now = time.monotonic()
        if now < self._look:
            return self._id is not None
        self._look = now + _EVERY
        try:
            return self._tend(now)
        except UnreachableFlink as error:
            if not self._silent:
                _SAY.error("%s", error)
            self._silent, self._id = True, None
            return False

    def _tend(self, now: float) -> bool:
        mine = self._mine()
        current = next((job for job in mine if job.name == self._name), None)
        for other in mine:
            if other is not current:
                _SAY.info("%s: stopping what runs of an earlier text", self._job.name)
                self._halt(other)
        if self._silent:
            _SAY.info("%s: Flink answers again", self._job.name)
            self._silent = False
        if current is not None:
            if self._id != current.id:
                _SAY.info("%s: job %s is %s", self._job.name, current.id, current.state)
            self._id = current.id
            if current.state == "RUNNING":
                self._backoff = _FIRST_BACKOFF
            return current.state == "RUNNING"
        if self._id is not None:
            self._say_why(self._id)
            self._id = None
            if self.refused is not None:
                return False
            self._again = now + self._backoff
            self._backoff = min(2 * self._backoff, _LAST_BACKOFF)
        if now >= self._again:
            self._begin(self.states.newest())
        return False

    def stop(self) -> None:
        """Stops the job with a savepoint; where that cannot be, it is ended, and its newest checkpoint counts."""
        for job in self._mine():
            self._halt(job)
        self._id = None

    def _mine(self) -> list[Running]:
        """What runs under the job's name, of this text or an earlier one."""
        prefix = self._job.name + " "
        return [job for job in self._gateway.jobs() if job.name.startswith(prefix) and not job.ended]

    def _halt(self, job: Running) -> None:
        try:
            self._gateway.stop(job.id, f"{self.states.folder}/savepoints")
        except UnreachableFlink:
            raise
        except FlinkError as error:
            _SAY.warning("%s", error)
            self._gateway.cancel(job.id)
        self._await_end(job)

    def _await_end(self, job: Running, patience: float = 30.0) -> None:
        until = time.monotonic() + patience
        while any(each.id == job.id and not each.ended for each in self._gateway.jobs()):
            if time.monotonic() > until:
                raise FlinkError(
                    f"job {job.name}", f"it does not end within {patience:.0f} s", "cancel it in Flink"
                )
            time.sleep(0.1)

    def _begin(self, state: State | None) -> None:
        _SAY.info("%s: begins%s", self._job.name, "" if state is None else f" from {state.path}")
        try:
            with self._gateway.session(self._settings(state)) as session:
                self._describe(session)
                rows = session.execute(self._job.statement_set)
        except UnreachableFlink:
            raise
        except FlinkError as error:
            raise FlinkError(self._culprit(), error.cause, error.remedy) from error
        self._from = state
        self._id = str(rows[0]["job id"]) if rows and "job id" in rows[0] else None

    def _describe(self, session: Session) -> None:
        if self._cluster.jar is not None:
            session.execute(f"ADD JAR {quoted(self._cluster.jar)}")
        for statement in self._job.statements:
            session.execute(statement)

    def _culprit(self) -> str:
        """What Flink refuses: the object of the first insert that cannot be planned by itself, else the job."""
        subject = self._job.name
        try:
            with self._gateway.session(self._settings(None)) as session:
                self._describe(session)
                for insert in self._job.inserts:
                    subject = insert.subject
                    session.execute(f"EXPLAIN {insert.sql}")
        except FlinkError:
            return subject
        return self._job.name

    def _settings(self, state: State | None) -> Mapping[str, str]:
        begin = {} if state is None else {
            "execution.state-recovery.path": state.path,
            "execution.state-recovery.claim-mode": "CLAIM",
        }  # fmt: skip
        own = {"execution.checkpointing.dir": self.states.folder, "pipeline.name": self._name}
        return settings(self._cluster, self._job) | own | begin

    def _say_why(self, job: str) -> None:
        try:
            cause = self._gateway.failure(job)
        except FlinkError:
            cause = None  # the job manager has forgotten it
        _SAY.error("%s: job %s is gone%s", self._job.name, job, "" if cause is None else f": {cause}")
        if cause is not None and self._from is not None and any(sign in cause for sign in _REFUSED):
            self.refused = cause
