"""Profiles: a URL for each seam. The only file that chooses an adapter.

`headrace.toml` beside the project file may hold `[profiles.<name>]` tables; without one, the profile `local` keeps
everything in `.headrace` beside the project file. A relative path in a URL is relative to the profile's home.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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


@dataclass(frozen=True)
class Profile:
    """Where one deployment of a project lives. clock: "wall" when live, "marks" under replay."""

    name: str
    home: Path
    log: str = "sqlite:log"
    schemas: str = "folder:schemas"
    online: str = "sqlite:online.sqlite"
    archive: str = "archive"
    registry: str = "sqlite:models/mlflow.db"
    server: str = "http://127.0.0.1:8000"
    partitions: int = 6
    clock: Literal["wall", "marks"] = "wall"

    def open_log(self) -> Log:
        scheme, address = self._split("log", self.log)
        if scheme == "sqlite":
            from headrace.log.sqlite import SqliteLog

            return SqliteLog(self._path(address))
        raise self._unknown("log", scheme, "sqlite")

    def open_schemas(self) -> Schemas:
        scheme, address = self._split("schemas", self.schemas)
        if scheme == "folder":
            from headrace.schema.folder import FolderSchemas

            return FolderSchemas(self._path(address))
        raise self._unknown("schemas", scheme, "folder")

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
        scheme, address = self._split("registry", self.registry)
        if scheme == "sqlite":
            from headrace.models.registry import Registry

            return Registry(f"sqlite:///{self._path(address)}", declaration.name)
        raise self._unknown("registry", scheme, "sqlite")

    def open_clock(self, declaration: Declaration, log: Log) -> Clock:
        return WallClock() if self.clock == "wall" else MarkClock(log, Topics.of(declaration).clock)

    def _path(self, address: str) -> Path:
        path = self.home / address
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

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
    """The profile of a project by name.

    home, else HEADRACE_HOME, overrides where it lives; HEADRACE_SERVER the server's address.
    """
    folder = declaration.path.parent
    file = folder / "headrace.toml"
    tables: dict[str, Any] = {}
    if file.is_file():
        try:
            tables = tomllib.loads(file.read_text()).get("profiles", {})
        except tomllib.TOMLDecodeError as error:
            raise ProfileError(f"{file}", f"it is not TOML: {error}", "correct it") from error
    if name not in tables and name != "local":
        raise ProfileError(
            f"profile {name}", f"{file.name} has {', '.join(tables) or 'no profiles'}", f"add [profiles.{name}]"
        )
    given = dict(tables.get(name, {}))
    named = home or os.environ.get("HEADRACE_HOME")
    place = Path.cwd() / named if named else folder / given.get("home", ".headrace")
    given.pop("home", None)
    known = {field.name for field in fields(Profile)} - {"name", "home"}
    for key in given:
        if key not in known:
            raise ProfileError(f"profile {name}", f"{key!r} is not a setting", f"use {', '.join(sorted(known))}")
    if "HEADRACE_SERVER" in os.environ:
        given["server"] = os.environ["HEADRACE_SERVER"]
    profile = Profile(name, place.resolve())
    return replace(profile, **given)
