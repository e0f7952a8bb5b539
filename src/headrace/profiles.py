"""Profiles: a URL for each seam. The only file that chooses an adapter.

`headrace.toml` beside the project file may hold `[profiles.<name>]` tables; without one, the profile `local` keeps
everything in `.headrace` beside the project file. A relative path in a URL is relative to the profile's home.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from headrace.declare.declaration import Declaration
from headrace.declare.topics import Topics
from headrace.errors import ProfileError
from headrace.log.clock import Clock, MarkClock, WallClock
from headrace.log.contract import Log
from headrace.schema.contract import Schemas

if TYPE_CHECKING:
    from headrace.archive.delta import Archive
    from headrace.features.contract import OnlineStore
    from headrace.models.registry import Registry
    from headrace.stream.flink.cluster import Cluster
    from headrace.stream.tiler import History
    from headrace.training.deployment import Deployment
    from headrace.training.runner import Runner

_MOST_PARTITIONS: Final = 99_999
"""Ids of records hold a partition in five digits."""
STACK: Final = "cluster"
"""The profile that `headrace stack up` writes; headrace.toml may have one of its own."""
STACK_FILE: Final = ".headrace/stack/stack.toml"
_SETTINGS: Final[Mapping[str, Sequence[str]]] = {
    "kafka": (),
    "schema_registry": ("user", "password", "token", "ca"),
    "kubeflow": (
        "image",
        "project",
        "namespace",
        "experiment",
        "secret",
        "service_account",
        "pipeline_root",
        "token",
        "ca",
    ),
    "flink": ("rest", "checkpoints", "jar", "parallelism", "checkpoint", "outage", "kafka", "options"),
}
"""Settings that are tables, with what they may hold; those of librdkafka are passed as they are."""


class Stepping(Protocol):
    """A role's part of the engine."""

    def step(self) -> int:
        """Does what there is to do, and how much that was; 0 where it may rest."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Profile:
    """Where one deployment of a project lives. clock: "wall" when live, "marks" under replay.

    lookup: the PostgreSQL in which an engine that needs it looks joined tables up. kafka: librdkafka's settings
    (TLS, SASL), passed as they are. schema_registry: user and password, or token; ca. flink: see docs/cluster.md.
    metrics: host:port at which the first role answers Prometheus, each further one a port later; the server does so
    at its own address. alerts: "process:rules", or "webhook:host:port", where the monitor waits for Alertmanager.
    kubeflow: see docs/runs.md.
    """

    name: str
    home: Path
    log: str = "sqlite:log"
    schemas: str = "folder:schemas"
    engine: str = "duckdb:process"
    lookup: str = ""
    online: str = "sqlite:online.sqlite"
    archive: str = "archive"
    registry: str = "sqlite:models/mlflow.db"
    pipelines: str = "local:process"
    server: str = "http://127.0.0.1:8000"
    metrics: str = ""
    alerts: str = "process:rules"
    partitions: int = 6
    clock: Literal["wall", "marks"] = "wall"
    kafka: Mapping[str, Any] = field(default_factory=dict)
    schema_registry: Mapping[str, str] = field(default_factory=dict)
    flink: Mapping[str, Any] = field(default_factory=dict)
    kubeflow: Mapping[str, str] = field(default_factory=dict)

    def open_log(self) -> Log:
        scheme, address = self._split("log", self.log)
        if scheme == "sqlite":
            from headrace.log.sqlite import SqliteLog

            return SqliteLog(self._path(address))
        if scheme == "kafka":
            from headrace.log.kafka import KafkaLog
            from headrace.schema.splitting import Splitter

            servers, _, namespace = address.partition("/")
            return KafkaLog(servers, Splitter(self.open_schemas()), self.kafka, namespace)
        raise self._unknown("log", scheme, "sqlite or kafka")

    def open_schemas(self) -> Schemas:
        scheme, address = self._split("schemas", self.schemas)
        if scheme == "folder":
            from headrace.schema.folder import FolderSchemas

            return FolderSchemas(self._path(address))
        if scheme == "registry":
            from headrace.schema.registry import RegistrySchemas

            return RegistrySchemas(address, **self.schema_registry)
        raise self._unknown("schemas", scheme, "folder or registry")

    def open_enricher(self, declaration: Declaration, log: Log, schemas: Schemas) -> Stepping:
        scheme, address = self._split("engine", self.engine)
        if scheme == "duckdb":
            from headrace.stream.enricher import Enricher

            return Enricher(declaration, log, schemas)
        if scheme == "flink":
            from headrace.stream.flink.enricher import FlinkEnricher

            return FlinkEnricher(declaration, log, schemas, self._cluster(address))
        raise self._unknown("engine", scheme, "duckdb or flink")

    def open_tiler(self, declaration: Declaration, log: Log, schemas: Schemas, history: History) -> Stepping:
        scheme, address = self._split("engine", self.engine)
        if scheme == "duckdb":
            from headrace.stream.tiler import Tiler

            return Tiler(declaration, log, schemas, history)
        if scheme == "flink":
            from headrace.stream.flink.tiler import FlinkTiler

            cluster = self._cluster(address)
            return FlinkTiler(declaration, log, schemas, history, cluster, partitions=self.partitions)
        raise self._unknown("engine", scheme, "duckdb or flink")

    def export_flink(self, declaration: Declaration, folder: Path) -> list[Path]:
        """Writes the jobs of Flink as files; ProfileError where the engine is another."""
        scheme, address = self._split("engine", self.engine)
        if scheme != "flink":
            raise ProfileError(
                f"profile {self.name}", f"its engine is {scheme}", "name a profile whose engine is Flink"
            )
        from headrace.stream.flink.export import export

        return export(declaration, self.open_schemas(), self._cluster(address), folder)

    def _cluster(self, gateway: str) -> Cluster:
        """Where Flink's jobs find their surroundings."""
        from headrace.stream.flink.cluster import Cluster

        (log, servers), (schemas, registry) = self._split("log", self.log), self._split("schemas", self.schemas)
        needed = {"log = 'kafka:...'": log == "kafka", "schemas = 'registry:...'": schemas == "registry"}
        needed |= {"lookup = 'postgresql://...'": bool(self.lookup)}
        needed |= {f"{name} in a table flink": name in self.flink for name in ("rest", "checkpoints")}
        missing = [name for name, there in needed.items() if not there]
        if missing:
            raise ProfileError(f"profile {self.name}", "the engine is Flink", f"set {', '.join(missing)} too")
        if self.clock == "marks":
            raise ProfileError(
                f"profile {self.name}", "Flink keeps no marks", "replay with a profile whose engine is duckdb"
            )
        servers, _, namespace = servers.partition("/")
        settings = {name: value for name, value in self.flink.items() if name not in ("kafka", "options")}
        return Cluster(
            gateway,
            kafka={"bootstrap.servers": servers, **self.flink.get("kafka", {})},
            registry=registry,
            lookup=self.lookup,
            namespace=namespace,
            options=self.flink.get("options", {}),
            **settings,
        )

    def open_online(self) -> OnlineStore:
        scheme, address = self._split("online", self.online)
        if scheme == "sqlite":
            from headrace.features.sqlite import SqliteStore

            return SqliteStore(self._path(address))
        if scheme in ("redis", "rediss"):
            from headrace.features.redis import RedisStore

            return RedisStore(self.online)
        raise self._unknown("online", scheme, "sqlite, redis or rediss")

    def open_archive(self, declaration: Declaration) -> Archive:
        from headrace.archive.columns import schemas
        from headrace.archive.delta import Archive

        place = self.archive if "://" in self.archive else self._path(self.archive)
        return Archive(place, schemas(declaration))

    def open_registry(self, declaration: Declaration) -> Registry:
        from headrace.models.registry import Registry

        scheme, address = self._split("registry", self.registry)
        if scheme == "sqlite":
            return Registry(f"sqlite:///{self._path(address)}", declaration.name)
        if scheme in ("http", "https"):
            return Registry(self.registry, declaration.name, self.home / "models" / "cache")
        raise self._unknown("registry", scheme, "sqlite, http or https")

    def open_runner(self, runner: str | None = None) -> Runner:
        """What runs the training pipeline. runner: its scheme, where it shall not be that of the profile."""
        scheme, address = self._split("pipelines", self.pipelines)
        if runner == "local" or (runner is None and scheme == "local"):
            from headrace.training.local import run

            return run
        if runner not in (None, "kubeflow"):
            raise ProfileError(f"runner {runner!r}", "there is none of that name", "use local or kubeflow")
        if scheme != "kubeflow":
            raise self._unknown("pipelines", scheme, "kubeflow:https://... with a table kubeflow")
        from headrace.training.kubeflow import Kubeflow

        return Kubeflow(address, self.deployment(), self.kubeflow)

    def deployment(self, image: str | None = None) -> Deployment:
        """How the steps of a pipeline run on a Kubeflow. image: instead of the profile's."""
        from headrace.training.deployment import Deployment

        given = image or self.kubeflow.get("image")
        if not given:
            remedy = f"set image in [profiles.{self.name}.kubeflow], or pass --image"
            raise ProfileError(f"profile {self.name}", "the image of the pipeline's steps is not known", remedy)
        shared = {"archive": self.archive, "registry": self.registry}
        return Deployment(
            given,
            self.kubeflow.get("project", "/project/project.py"),
            self.kubeflow.get("secret", "headrace-training"),
            {name: uri for name, uri in shared.items() if "://" in uri and not uri.startswith("sqlite:")},
        )

    def webhook(self) -> str | None:
        """host:port at which the monitor waits for Alertmanager; None where it evaluates the rules itself."""
        scheme, address = self._split("alerts", self.alerts)
        if scheme not in ("process", "webhook"):
            raise self._unknown("alerts", scheme, "process or webhook")
        return address if scheme == "webhook" else None

    def open_clock(self, declaration: Declaration, log: Log) -> Clock:
        return WallClock() if self.clock == "wall" else MarkClock(log, Topics.of(declaration).clock)

    def _apart(self, project: str) -> Profile:
        """With the project's name before what several projects on the same servers would share."""
        log, online = self.log, self.online
        if log.startswith("kafka:") and "/" not in log:
            log = f"{log}/{project}"
        if online.startswith(("redis:", "rediss:")) and "prefix=" not in online:
            online += f"{'&' if '?' in online else '?'}prefix={project}:"
        return replace(self, log=log, online=online)

    def _path(self, address: str) -> Path:
        path = self.home / address
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._closed(path.parent, str(error.strerror)) from error
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise self._closed(path.parent, "no right to write there")
        return path

    def _closed(self, folder: Path, cause: str) -> ProfileError:
        remedy = "let this user write there, or choose another place with --home"
        return ProfileError(f"profile {self.name}", f"nothing can be kept in {folder}: {cause}", remedy)

    def _split(self, seam: str, url: str) -> tuple[str, str]:
        scheme, colon, address = url.partition(":")
        if not colon or not address:
            raise ProfileError(
                f"profile {self.name}", f"{seam} = {url!r} is not a URL", f"write {seam} = 'scheme:address'"
            )
        return scheme, address

    def _unknown(self, seam: str, scheme: str, known: str) -> ProfileError:
        return ProfileError(f"profile {self.name}", f"{seam} has no adapter {scheme!r}", f"use {known}")


def read_profile(declaration: Declaration, name: str = "local", home: Path | None = None) -> Profile:
    """The profile of a project by name; ProfileError names what is wrong in headrace.toml.

    home, else HEADRACE_HOME, overrides where it lives; HEADRACE_SERVER the server's address.
    """
    folder = declaration.path.parent
    tables = _tables(folder / "headrace.toml")
    if name == STACK and name not in tables:
        tables |= _tables(Path.cwd() / STACK_FILE, besides=("ports", "servers"))
    if name not in tables and name != "local":
        remedy = f"add [profiles.{name}]" + (", or run `headrace stack up`" if name == STACK else "")
        raise ProfileError(f"profile {name}", f"headrace.toml has {', '.join(tables) or 'no profiles'}", remedy)
    given = dict(tables.get(name, {}))
    if "HEADRACE_SERVER" in os.environ:
        given["server"] = os.environ["HEADRACE_SERVER"]
    for key, value in given.items():
        _check(f"profile {name}", key, value)
    named = home or os.environ.get("HEADRACE_HOME")
    place = (
        Path.cwd() / named
        if named
        else folder / given.get("home", f".headrace/{name}" if name == STACK else ".headrace")
    )
    given.pop("home", None)
    profile = replace(Profile(name, place.resolve()), **given)
    return profile._apart(declaration.name)


def _tables(file: Path, besides: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The profiles that a file holds, by name; none where there is no file. besides: what else it may have."""
    if not file.is_file():
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProfileError(f"{file}", f"it is not TOML: {error}", "correct it") from error
    for key in found:
        if key != "profiles" and key not in besides:
            raise ProfileError(f"{file}", f"{key!r} means nothing there", "write tables [profiles.<name>] only")
    profiles = found.get("profiles", {})
    for name, table in profiles.items() if isinstance(profiles, dict) else [("profiles", profiles)]:
        if not isinstance(table, dict):
            raise ProfileError(f"{file}", f"{name} is {table!r}, not a table", "write a table [profiles.<name>]")
    return dict(profiles)


def _check(subject: str, key: str, value: Any) -> None:
    """Refuses a setting that does not exist, or a value that it cannot have."""
    known = {field.name for field in fields(Profile)} - {"name"}
    if key not in known:
        raise ProfileError(subject, f"{key!r} is not a setting", f"use {', '.join(sorted(known))}")
    found, good, remedy = f"{key} = {value!r}", isinstance(value, str) and bool(value), "write a text in quotes"
    if key == "partitions":
        good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_PARTITIONS
        remedy = f"write a whole number from 1 to {_MOST_PARTITIONS}"
    elif key in _SETTINGS:
        good, remedy = isinstance(value, dict), f"write a table [profiles.<name>.{key}]"
        for name in value if good and _SETTINGS[key] else ():
            if name not in _SETTINGS[key]:
                raise ProfileError(
                    subject, f"{name!r} is not a setting of {key}", f"use {', '.join(_SETTINGS[key])}"
                )
    elif key == "clock":
        good, remedy = value in ("wall", "marks"), "write 'wall', or 'marks' for a replay"
    elif key == "lookup":
        good, remedy = isinstance(value, str), "write an address such as 'postgresql://user:password@host/database'"
    elif key == "metrics":
        good, remedy = good and _is_address(f"http://{value}"), "write host:port, such as '127.0.0.1:9200'"
    elif key == "server":
        good, remedy = good and _is_address(value), "write an address such as 'http://127.0.0.1:8000'"
    if not good:
        raise ProfileError(subject, f"{found} cannot be", remedy)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is not a number, or not one of 16 bits
        return False
