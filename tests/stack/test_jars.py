from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.errors import StackError
from headrace.stack.jars import FLINK, KAFKA, REGISTRY, JarSet

MVN = """\
#!/bin/sh
echo run >> "{runs}"
for option; do case "$option" in -DoutputDirectory=*) into="${{option#-DoutputDirectory=}}";; esac; done
cp "{served}"/* "$into"
"""


class Repository:
    """A Maven that serves a folder, and counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self.served = folder / "served"
        self.cache = folder / "cache"
        self.runs = folder / "runs"
        self.bin = folder / "bin"
        self.poms = folder / "poms"
        for made in (self.served, self.bin, self.poms / "toy"):
            made.mkdir(parents=True)
        mvn = self.bin / "mvn"
        mvn.write_text(MVN.format(runs=self.runs, served=self.served))
        mvn.chmod(mvn.stat().st_mode | stat.S_IXUSR)
        self.serve({"a-1.jar": b"a", "b-2.jar": b"b"})
        self.pin({"a-1.jar": b"a", "b-2.jar": b"b"})
        self.jars = JarSet("toy", self.poms)

    def serve(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (self.served / name).write_bytes(content)

    def pin(self, files: dict[str, bytes]) -> None:
        lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
        (self.poms / "toy" / "jars.sha256").write_text("".join(lines))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(tmp_path)
    monkeypatch.setenv("PATH", f"{repository.bin}:{os.environ['PATH']}")
    return repository


def test_jars_are_fetched_once(repository: Repository) -> None:
    jars, cache = repository.jars, repository.cache
    assert jars.missing(cache) == ["a-1.jar", "b-2.jar"]
    assert jars.install(cache)
    assert jars.missing(cache) == jars.corrupt(jars.folder(cache)) == []
    assert not jars.install(cache)
    assert repository.runs.read_text() == "run\n"


def test_several_at_once_fetch_once(repository: Repository) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: repository.jars.install(repository.cache), range(4))) == 1
    assert repository.runs.read_text() == "run\n"


@pytest.mark.parametrize("served", [{"a-1.jar": b"A"}, {"c-3.jar": b"c"}], ids=["other bytes", "not in the list"])
def test_what_is_not_as_committed_is_never_installed(repository: Repository, served: dict[str, bytes]) -> None:
    repository.serve(served)
    with pytest.raises(StackError, match=next(iter(served))):
        repository.jars.install(repository.cache)
    assert [path.suffix for path in repository.cache.iterdir()] == [".lock"]


def test_a_jar_that_is_not_served_is_named(repository: Repository) -> None:
    (repository.served / "b-2.jar").unlink()
    with pytest.raises(StackError, match=r"missing.*b-2\.jar"):
        repository.jars.install(repository.cache)


def test_a_lost_jar_is_fetched_again(repository: Repository) -> None:
    repository.jars.install(repository.cache)
    (repository.jars.folder(repository.cache) / "a-1.jar").unlink()
    assert repository.jars.install(repository.cache)
    assert repository.jars.missing(repository.cache) == []


def test_other_pins_are_another_folder(repository: Repository) -> None:
    before = repository.jars.folder(repository.cache)
    repository.pin({"a-1.jar": b"a"})
    assert repository.jars.folder(repository.cache) != before


def test_without_maven_the_remedy_is_its_package(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="apt-get install maven"):
        repository.jars.install(repository.cache)


def test_what_maven_says_is_passed_on(repository: Repository) -> None:
    (repository.bin / "mvn").write_text("#!/bin/sh\necho '[ERROR] no such host'\nexit 1\n")
    with pytest.raises(StackError, match="no such host"):
        repository.jars.install(repository.cache)


@pytest.mark.parametrize("jars", [KAFKA, FLINK, REGISTRY], ids=lambda jars: jars.name)
def test_the_committed_lists_hold_sums_and_names_alone(jars: JarSet) -> None:
    sums = jars.sums()
    assert jars.pom.is_file()
    assert len(sums) > 40
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in sums.values())
    assert not [name for name in sums if ":" in name or name.startswith("/") or ".." in Path(name).parts]
