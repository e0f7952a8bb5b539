"""The package, parsed as strictly as the server does, and a run on a server that speaks its API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xgboost
import yaml
from google.protobuf import json_format
from tests.training.kubeflow_server import RUN, KubeflowServer, serving, strictly
from typer.testing import CliRunner

from headrace.cli import app
from headrace.declare.load import read_project
from headrace.errors import ProfileError, TrainingError
from headrace.models.artifact import Span, Spec, save
from headrace.models.encoding import Column, Encoding
from headrace.models.registry import Registry
from headrace.profiles import Profile
from headrace.training.deployment import CREDENTIALS, RESOURCES, Deployment, check_image
from headrace.training.kubeflow import Kubeflow
from headrace.training.package import export
from headrace.training.record import STEPS
from headrace.training.runs import Runs

SHOP = Path(__file__).parents[1] / "projects" / "shop.py"
FRAUD = Path(__file__).parents[1] / "projects" / "fraud.py"
INVENTORY = Path(__file__).parents[2] / "examples" / "inventory"
IMAGE = "registry.example.org/shop/demand:1.4.2"
DEPLOYMENT = Deployment(IMAGE, "/project/project.py", "credentials", {"registry": "https://mlflow.example.org"})


@pytest.fixture(scope="module", params=[INVENTORY, SHOP, FRAUD], ids=["inventory", "shop", "fraud"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    declaration = read_project(request.param)
    folder = tmp_path_factory.mktemp("package")
    export(declaration, DEPLOYMENT, folder, "ml")
    spec, platform = yaml.safe_load_all((folder / "pipeline.yaml").read_text())
    return declaration, {"pipeline_spec": spec, "platform_spec": platform}, folder


def test_the_package_is_what_its_protocol_says(package: Any) -> None:
    declaration, spec, _ = package
    pipeline, platform = strictly(spec)
    assert pipeline.pipeline_info.name == f"{declaration.name}-training"
    tasks = pipeline.root.dag.tasks
    assert set(tasks) == set(STEPS)
    cached = {name for name, task in tasks.items() if task.caching_options.enable_cache}
    assert cached == {"train"}
    for name, resources in RESOURCES.items():
        container = pipeline.deployment_spec["executors"][f"exec-{name}"]["container"]
        assert container["image"] == IMAGE
        held = container["resources"]
        assert (held["resourceCpuRequest"], held["resourceCpuLimit"]) == resources.cpu
        assert (held["resourceMemoryRequest"], held["resourceMemoryLimit"]) == resources.memory
        assert tasks[name].retry_policy.max_retry_count == resources.tries
        assert tasks[name].task_info.name
        (secret,) = platform.platforms["kubernetes"].deployment_spec.executors[f"exec-{name}"]["secretAsEnv"]
        assert secret["secretName"] == "credentials"
        assert [pair["envVar"] for pair in secret["keyToEnv"]] == list(CREDENTIALS.values())


def test_every_parameter_has_its_type_default_and_description(package: Any) -> None:
    declaration, spec, _ = package
    inputs = spec["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    types = {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING", bool: "BOOLEAN"}
    for name, value in declaration.model.parameters.items():
        assert inputs[name]["parameterType"] == types[type(value)]
        assert inputs[name]["defaultValue"] == value
    assert set(inputs) == {*declaration.model.parameters, "project", "archive", "registry", "until", "holdout"}
    assert all(found["description"] for found in inputs.values())
    assert inputs["registry"]["defaultValue"] == "https://mlflow.example.org"
    assert "defaultValue" not in inputs["until"]


def test_artifacts_have_their_types(package: Any) -> None:
    _, spec, _ = package
    components = spec["pipeline_spec"]["components"]
    types = {
        f"{step}.{name}": artifact["artifactType"]["schemaTitle"]
        for step in STEPS
        for name, artifact in components[f"comp-{step}"].get("outputDefinitions", {}).get("artifacts", {}).items()
    }
    assert types == {
        "preprocess.dataset": "system.Dataset",
        "train.draft": "system.Model",
        "evaluate.sealed": "system.Model",
        "evaluate.report": "system.Metrics",
        "evaluate.page": "system.HTML",
    }


def test_an_unknown_field_is_refused(package: Any) -> None:
    _, spec, _ = package
    changed = json.loads(json.dumps(spec))
    changed["pipeline_spec"]["root"]["dag"]["tasks"]["train"]["retries"] = 3
    with pytest.raises(json_format.ParseError, match="retries"):
        strictly(changed)


@pytest.mark.filterwarnings("ignore")
def test_the_manifests_are_kubernetes(package: Any) -> None:
    """Each field is one of the object's, by Kubernetes' own models."""
    _, _, folder = package
    documents = list(yaml.safe_load_all((folder / "kubernetes.yaml").read_text()))
    assert [(one["kind"], one["metadata"]["namespace"]) for one in documents] == [("Secret", "ml")]
    for document in documents:
        _known(document, f"V1{document['kind']}")
        assert "data" not in document
        assert "stringData" not in document
    with pytest.raises(AssertionError, match="kinds"):
        _known({**documents[0], "kinds": 1}, "V1Secret")


def _known(value: Any, kind: str) -> None:
    from kubernetes import client

    if kind.startswith("dict("):
        for one in value.values():
            _known(one, kind.split(", ")[1].rstrip(")"))
    elif kind.startswith("list["):
        for one in value:
            _known(one, kind[5:-1])
    elif hasattr(client, kind):
        model = getattr(client, kind)
        names = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
        unknown = set(value) - set(names)
        assert not unknown, f"{kind} has no {unknown}"
        for name, one in value.items():
            _known(one, names[name])
    else:
        assert type(value).__name__ == kind, f"{value!r} is no {kind}"


@pytest.mark.parametrize("image", ["demand", "demand:latest", "host:5000/demand", "a b:1", "demand:main", ""])
def test_an_image_that_moves_is_refused(image: str) -> None:
    with pytest.raises(TrainingError, match="repeated"):
        check_image(image)
    check_image("host:5000/demand:2024-05-01")
    check_image(f"demand@sha256:{'a' * 64}")


def test_export_names_the_missing_image(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["export", "kubeflow", str(SHOP), str(tmp_path), "--home", str(tmp_path)])
    assert isinstance(shown.exception, ProfileError)
    assert "--image" in str(shown.exception)


# A run


class At:
    """An archive and a registry that pods would reach; here the registry's files are on this machine."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def open_archive(self, declaration: Any) -> Any:
        from headrace.archive.delta import Archive

        (self.home / "archive").mkdir(exist_ok=True)
        return Archive((self.home / "archive").as_uri())

    def open_registry(self, declaration: Any) -> Registry:
        found = Registry(f"sqlite:///{self.home}/models/mlflow.db", declaration.name)
        found.tracking_uri = "http://mlflow.example.org"
        return found


@pytest.fixture
def at(place: Path) -> At:
    return At(place)


def registered(at: At, declaration: Any, job: str) -> None:
    """What the step `register` does on the cluster."""
    span, encoding = Span(0, 1, 2), Encoding([Column("units", "float")])
    model = xgboost.XGBRegressor(n_estimators=1).fit(encoding.frame(pa.table({"units": [1.0, 2.0]})), [1.0, 2.0])
    metrics = {"mae": 2.0}
    spec = Spec(
        declaration.name, "d", "regression", "l", encoding, {}, 7, "xgboost", span, span, 5, {}, {}, None, metrics
    )
    save(at.home / "sealed", model, spec)
    registry = at.open_registry(declaration)
    run = registry.record({}, {"mae": 2.0, "naive_mae": 3.0}, {"job": job})
    registry.nominate(registry.register(at.home / "sealed", run, {"job": job}))


def scenes(*states: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for state, *tasks in states:
        yield state, dict(zip(STEPS, tasks, strict=False))


GOOD = "SUCCEEDED"


def test_a_run_is_submitted_and_followed(at: At) -> None:
    declaration, lines = read_project(SHOP), []
    server = KubeflowServer(
        list(scenes(["PENDING"], ["RUNNING", "RUNNING"], ["RUNNING", GOOD, "PENDING"],
                    ["RUNNING", GOOD, GOOD, "RUNNING"], [GOOD] * 5)),
        lambda: registered(at, declaration, RUN),
    )  # fmt: skip
    with serving(server) as address:
        found = Kubeflow(address, DEPLOYMENT, {}, every=0.01)(declaration, at, 1_700_000_000_000, {}, lines.append)
    assert (found.version, found.alias, found.metrics["naive"]["mae"]) == (1, "champion", 3.0)
    assert lines[1:] == [
        "preprocess running", "preprocess succeeded (3.0 s)", "train succeeded (3.0 s)", "evaluate running",
        "evaluate succeeded (3.0 s)", "register succeeded (3.0 s)",
    ]  # fmt: skip
    given = server.submitted["runtime_config"]["parameters"]
    assert given["until"] == 1_700_000_000_000
    assert given["project"] == "/project/project.py"
    assert given["archive"].startswith("file://")
    assert server.experiments[0]["display_name"] == declaration.name
    ((_, record),) = Runs(at.home / "training", declaration.name).records()
    assert (record.runner, record.status, record.version) == ("kubeflow", "succeeded", 1)
    assert {one.seconds for one in record.steps} == {3.0}
    assert {one.cpu for one in record.steps} == {None}


def test_a_failing_task_is_told_with_its_message(at: At) -> None:
    declaration = read_project(SHOP)
    failed = ["FAILED", GOOD, "FAILED: OOMKilled", "PENDING"]
    server = KubeflowServer(list(scenes(["RUNNING", "RUNNING"], failed)), lambda: None)
    with serving(server) as address, pytest.raises(TrainingError, match=r"step train: OOMKilled.*runs/details"):
        Kubeflow(address, DEPLOYMENT, {}, every=0.01)(declaration, at, 5, {}, lambda line: None)
    ((_, record),) = Runs(at.home / "training", declaration.name).records()
    assert [one.status for one in record.steps] == ["succeeded", "failed", "not run", "not run"]


def test_a_server_that_refuses_is_told(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    server = KubeflowServer([("RUNNING", {})], lambda: None)
    answer = server.answer
    monkeypatch.setattr(server, "answer", lambda method, path, body: (
        None if (method, path) == ("POST", "/apis/v2beta1/runs") else answer(method, path, body)
    ))  # fmt: skip
    with serving(server) as address, pytest.raises(TrainingError, match="refused the run: not found"):
        Kubeflow(address, DEPLOYMENT, {}, every=0.01)(read_project(SHOP), at, 5, {}, lambda line: None)


def test_what_pods_cannot_reach_is_refused(tmp_path: Path) -> None:
    settings = {"image": IMAGE}
    profile = Profile("local", tmp_path, pipelines="kubeflow:http://127.0.0.1:1", kubeflow=settings)
    with pytest.raises(TrainingError, match="pods"):
        profile.open_runner()(read_project(SHOP), profile, 5, {}, lambda line: None)
    with pytest.raises(ProfileError, match="pipelines"):
        Profile("local", tmp_path).open_runner("kubeflow")
    with pytest.raises(ProfileError, match="runner 'moon'"):
        profile.open_runner("moon")
