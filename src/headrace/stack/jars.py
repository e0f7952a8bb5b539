"""Sets of jars: pinned by a pom, fetched by Maven, each file checked against a committed sha256."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import StackError

_POMS: Final = Path(__file__).parent / "maven"
_FETCH: Final = ("-q", "-B", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime")


@dataclass(frozen=True)
class JarSet:
    """The files of one server. Its folder carries the hash of its list: other pins are another folder.

    poms: a folder with `<name>/pom.xml` and `<name>/jars.sha256`.
    """

    name: str
    poms: Path = _POMS

    @property
    def pom(self) -> Path:
        return self.poms / self.name / "pom.xml"

    def sums(self) -> dict[str, str]:
        """File name to sha256, as committed."""
        lines = (self.poms / self.name / "jars.sha256").read_text().splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}

    def folder(self, cache: Path) -> Path:
        digest = hashlib.sha256((self.poms / self.name / "jars.sha256").read_bytes()).hexdigest()
        return cache / f"{self.name}-{digest[:12]}"

    def missing(self, cache: Path) -> list[str]:
        """Names that are not there; fast, for every start."""
        folder = self.folder(cache)
        return [name for name in self.sums() if not (folder / name).is_file()]

    def corrupt(self, folder: Path) -> list[str]:
        """Names whose bytes are not those committed, and files that are not in the list."""
        sums = self.sums()
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        wrong = [name for name in sums if name in there and _sha256(folder / name) != sums[name]]
        return wrong + sorted(there - set(sums))

    def install(self, cache: Path) -> bool:
        """Fetches what is not there, once however many ask; tells whether anything was fetched.

        Errors: StackError when Maven is not there or fails, or when a file is not what the list says.
        """
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.missing(cache):
                return False
            fetched = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=cache))
            try:
                self._fetch(fetched)
                self._check(fetched)
                folder = self.folder(cache)
                shutil.rmtree(folder, ignore_errors=True)
                fetched.chmod(0o755)
                fetched.rename(folder)
            finally:
                shutil.rmtree(fetched, ignore_errors=True)
            return True

    def _fetch(self, into: Path) -> None:
        mvn = shutil.which("mvn")
        if mvn is None:
            raise StackError("Maven", "there is no mvn on PATH", "apt-get install maven")
        command = [mvn, *_FETCH, f"-DoutputDirectory={into}", "-f", str(self.pom)]
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode:
            said = next((line for line in run.stdout.splitlines() if "ERROR" in line), run.stderr.strip())
            raise StackError(
                f"jars of {self.name}",
                f"Maven could not fetch them: {said[:400]}",
                "let Maven reach its repository (a proxy or mirror belongs in ~/.m2/settings.xml), then try again",
            )
        for archive in into.glob("*.tar.gz"):
            with tarfile.open(archive) as packed:
                packed.extractall(into, filter="data")
            archive.unlink()

    def _check(self, folder: Path) -> None:
        absent = [name for name in self.sums() if not (folder / name).is_file()]
        wrong = self.corrupt(folder)
        if absent or wrong:
            raise StackError(
                f"jars of {self.name}",
                f"not what {self.name}/jars.sha256 lists: missing {absent[:3]}, other bytes {wrong[:3]}",
                "remove these artifacts from ~/.m2/repository and try again; the same again is no accident",
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


KAFKA: Final = JarSet("kafka")
REGISTRY: Final = JarSet("registry")
FLINK: Final = JarSet("flink")
