"""headrace.toml: every setting, where things live, and what is told when it is wrong."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from headrace.compile.load import load
from headrace.declare.declaration import Declaration
from headrace.errors import ProfileError
from headrace.log.clock import MarkClock, WallClock
from headrace.profiles import Profile, read_profile

LAW = Path(__file__).parent / "projects" / "law.py"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_HOME", "HEADRACE_SERVER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Declaration:
    (tmp_path / "project.py").write_text(LAW.read_text())
    return load(tmp_path)


def write(project: Declaration, text: str) -> None:
    (project.path.parent / "headrace.toml").write_text(text)


def test_without_a_file_everything_lives_beside_the_project(project: Declaration) -> None:
    profile = read_profile(project)
    home = project.path.parent / ".headrace"
    assert profile == Profile("local", home)
    log = profile.open_log()
    assert log.topics() == []
    assert isinstance(profile.open_clock(project, log), WallClock)
    profile.open_schemas()
    profile.open_online()
    assert profile.open_archive(project).topics() == []
    assert profile.open_registry(project).tracking_uri == f"sqlite:///{home}/models/mlflow.db"
    names = {path.name for path in home.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    assert names == {"log", "schemas", "online.sqlite", "archive", "models"}
    log.close()


SETTINGS = {
    "log": "sqlite:elsewhere/log", "schemas": "folder:forms", "online": "sqlite:fast.sqlite", "archive": "cold",
    "registry": "sqlite:m/models.db", "server": "http://0.0.0.0:9000", "partitions": 2, "clock": "marks",
    "engine": "duckdb:process", "lookup": "postgresql://u:p@db/x",
    "metrics": "127.0.0.1:9200", "alerts": "webhook:127.0.0.1:9300",
    "pipelines": "kubeflow:https://kubeflow.example.org",
}  # fmt: skip
TABLES = {
    "kafka": {"linger.ms": 5},
    "schema_registry": {"user": "u", "password": "p"},
    "flink": {"rest": "http://j"},
    "kubeflow": {"image": "shop/demand:1", "namespace": "ml"},
}


def test_every_setting_is_taken(project: Declaration) -> None:
    lines = "".join(f"{name} = {value!r}\n" for name, value in SETTINGS.items())
    for table, settings in TABLES.items():
        lines += f"[profiles.night.{table}]\n" + "".join(f"{n!r} = {v!r}\n" for n, v in settings.items())
    write(project, f"[profiles.night]\nhome = 'night'\n{lines}")
    profile = read_profile(project, "night")
    home = project.path.parent / "night"
    assert {*SETTINGS, *TABLES, "name", "home"} == {field.name for field in fields(Profile)}
    assert profile == Profile("night", home, **SETTINGS, **TABLES)  # type: ignore[arg-type]
    log = profile.open_log()
    assert isinstance(profile.open_clock(project, log), MarkClock)
    profile.open_schemas()
    profile.open_online()
    profile.open_archive(project)
    assert profile.open_registry(project).tracking_uri == f"sqlite:///{home}/m/models.db"
    for name in ("elsewhere/log", "forms", "fast.sqlite", "cold", "m"):
        assert (home / name).exists(), name
    log.close()


def test_absolute_paths_stay(project: Declaration, tmp_path: Path) -> None:
    write(project, f"[profiles.local]\nlog = 'sqlite:{tmp_path}/apart'\nhome = '{tmp_path}/far'\n")
    profile = read_profile(project)
    profile.open_log().close()
    assert profile.home == tmp_path / "far"
    assert (tmp_path / "apart").is_dir()


def test_the_home_is_the_options_then_the_environments_then_the_files(
    project: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "[profiles.local]\nhome = 'filed'\n")
    assert read_profile(project).home == project.path.parent / "filed"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", "named")
    assert read_profile(project).home == tmp_path / "named"
    assert read_profile(project, home=Path("given")).home == tmp_path / "given"


def test_the_servers_address_is_the_environments_first(
    project: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SERVER", "http://127.0.0.1:8123")
    assert read_profile(project).server == "http://127.0.0.1:8123"
    monkeypatch.setenv("HEADRACE_SERVER", "8123")
    with pytest.raises(ProfileError, match=r"server = '8123' cannot be.*http://127.0.0.1:8000"):
        read_profile(project)


WRONG = {
    "not TOML": ("[profiles.local", "it is not TOML"),
    "misspelt table": ("[profile.local]\npartitions = 2", "'profile' means nothing there.*profiles.<name>"),
    "setting on top": ("partitions = 2", "'partitions' means nothing there"),
    "profiles that are none": ("profiles = 3", "profiles is 3, not a table"),
    "profile that is none": ("[profiles]\nlocal = 'sqlite'", "local is 'sqlite', not a table"),
    "unknown setting": ("[profiles.local]\nlogg = 'sqlite:x'", "'logg' is not a setting.*log"),
    "home of another type": ("[profiles.local]\nhome = 3", "home = 3 cannot be"),
    "empty archive": ("[profiles.local]\narchive = ''", "archive = '' cannot be"),
    "log of another type": ("[profiles.local]\nlog = ['sqlite:log']", r"log = \['sqlite:log'\] cannot be"),
    "partitions as text": ("[profiles.local]\npartitions = '6'", "partitions = '6' cannot be.*whole number"),
    "no partitions": ("[profiles.local]\npartitions = 0", "partitions = 0 cannot be.*from 1"),
    "partitions of truth": ("[profiles.local]\npartitions = true", "partitions = True cannot be"),
    "too many partitions": ("[profiles.local]\npartitions = 100000", "to 99999"),
    "unknown clock": ("[profiles.local]\nclock = 'sun'", "clock = 'sun' cannot be.*'wall'"),
    "server without a scheme": ("[profiles.local]\nserver = '127.0.0.1:8000'", "server = '127.0.0.1:8000' cannot"),
    "server without a host": ("[profiles.local]\nserver = 'http://:8000'", "server = 'http://:8000' cannot be"),
    "server of no port": ("[profiles.local]\nserver = 'http://h:99999'", "server = 'http://h:99999' cannot be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused(case: str, project: Declaration) -> None:
    text, words = WRONG[case]
    write(project, text)
    with pytest.raises(ProfileError, match=words):
        read_profile(project)


def test_a_profile_that_is_not_there_is_refused(project: Declaration) -> None:
    write(project, "[profiles.night]\n")
    with pytest.raises(ProfileError, match=r"profile moon: headrace.toml has night.*\[profiles.moon\]"):
        read_profile(project, "moon")


def test_bytes_that_are_no_text_are_refused(project: Declaration) -> None:
    (project.path.parent / "headrace.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ProfileError, match="it is not TOML"):
        read_profile(project)


@pytest.mark.parametrize("seam", ["log", "schemas", "online", "registry"])
def test_a_seam_without_an_adapter_is_refused(seam: str, project: Declaration) -> None:
    for url, words in (
        ("pulsar:there", "no adapter 'pulsar'"),
        ("there", "is not a URL"),
        ("sqlite:", "not a URL"),
    ):
        write(project, f"[profiles.local]\n{seam} = '{url}'\n")
        opened = getattr(read_profile(project), f"open_{seam}")
        with pytest.raises(ProfileError, match=words):
            opened(project) if seam == "registry" else opened()


def test_a_home_in_which_nothing_can_be_kept_is_refused(project: Declaration, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    profile = read_profile(project, home=tmp_path / "file")
    with pytest.raises(ProfileError, match=r"nothing can be kept in .*file.*--home"):
        profile.open_log()


def test_a_home_without_the_right_to_write_is_refused(
    project: Declaration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.profiles.os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ProfileError, match=r"nothing can be kept in .*: no right to write there"):
        read_profile(project, home=tmp_path).open_log()


def test_a_registry_may_be_a_server_and_a_runner_a_kubeflow(project: Declaration) -> None:
    text = """[profiles.far]
registry = "http://mlflow:5000"
pipelines = "kubeflow:https://kubeflow.example.org"
[profiles.far.kubeflow]
image = "shop/demand:1.4.2"
"""
    write(project, text)
    profile = read_profile(project, "far")
    assert profile.open_registry(project).tracking_uri == "http://mlflow:5000"
    assert profile.deployment().addresses == {"registry": "http://mlflow:5000"}
    assert profile.deployment("shop/demand:1.5").image == "shop/demand:1.5"
    for runner, module in ((None, "kubeflow"), ("kubeflow", "kubeflow"), ("local", "local")):
        assert getattr(profile.open_runner(runner), "__module__", None) == f"headrace.training.{module}"
    write(project, text.replace("image", "picture"))
    with pytest.raises(ProfileError, match="'picture' is not a setting of kubeflow"):
        read_profile(project, "far")
