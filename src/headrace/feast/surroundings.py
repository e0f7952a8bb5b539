"""Where a Feast repo's stores find their project: what feature_store.yaml says, opened once a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from headrace.compile.load import load
from headrace.declare.declaration import Declaration
from headrace.errors import FeatureError
from headrace.feast.slices import Slice, slices
from headrace.log.clock import WallClock
from headrace.profiles import Profile, read_profile


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A project, its slices by name, and the profile where it lives."""

    declaration: Declaration
    slices: dict[str, Slice]
    profile: Profile

    @classmethod
    def of(cls, settings: Any, repo: Path | None) -> Surroundings:
        """settings: `project`, relative to the repo's folder, `profile` and `home`."""
        project = (Path(repo or ".") / settings.project).resolve()
        return _opened(project, settings.profile, None if settings.home is None else Path(settings.home))

    @cached_property
    def now(self) -> Callable[[], int]:
        """The server's clock, ms: the wall's, or that of the marks under replay."""
        if self.profile.clock == "wall":
            return WallClock().now  # which needs no log
        clock = self.profile.open_clock(self.declaration, self.profile.open_log())

        def now() -> int:
            time = clock.now()
            if time is None:
                raise FeatureError(
                    "Feast's online store", "the replay has not begun: there is no time yet", "ask later"
                )
            return time

        return now

    def slice(self, name: str) -> Slice:
        """FeatureError where there is none."""
        if name not in self.slices:
            raise self.changed(f"feature view {name}", f"project {self.declaration.name} has nothing of this name")
        return self.slices[name]

    def changed(self, subject: str, cause: str) -> FeatureError:
        """The project and its Feast repo went apart."""
        remedy = f"run `headrace export feast {self.declaration.path.name} DIR` and `feast apply` again"
        return FeatureError(subject, cause, remedy)


@cache
def _opened(project: Path, profile: str, home: Path | None) -> Surroundings:
    declaration = load(project)
    return Surroundings(declaration, slices(declaration), read_profile(declaration, profile, home))
