"""The pipeline as files for a Kubeflow: the package, and what Kubernetes must hold before it runs."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from headrace.declare.declaration import Declaration
from headrace.training.deployment import CREDENTIALS, Deployment
from headrace.training.parameters import Parameter
from headrace.training.pipeline import pipeline

PIPELINE: Final = "pipeline.yaml"
MANIFESTS: Final = "kubernetes.yaml"
_HEAD: Final = "# Written by `headrace export kubeflow`; write it again rather than change it.\n"


def title(declaration: Declaration) -> str:
    """The pipeline's name on a Kubeflow.

    A name there is of small letters, digits and hyphens.
    """
    return f"{declaration.name.lower().replace('_', '-')}-training"


def write_package(
    declaration: Declaration, deployment: Deployment, file: Path, parameters: Mapping[str, Parameter] | None = None
) -> None:
    """Compiles the pipeline. parameters: the defaults of the model's, else those declared."""
    from kfp import compiler

    made = pipeline(parameters or declaration.model.parameters, title(declaration), deployment)
    with warnings.catch_warnings(action="ignore"), tempfile.TemporaryDirectory() as work:
        compiled = Path(work) / file.name
        compiler.Compiler().compile(made, str(compiled))
        file.write_text(compiled.read_text(encoding="utf-8"), encoding="utf-8")


def export(declaration: Declaration, deployment: Deployment, folder: Path, namespace: str) -> list[Path]:
    """Writes the package and the manifests into a folder, which is made where it is not there; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_package(declaration, deployment, folder / PIPELINE)
    documents = [
        yaml.safe_dump(manifest, sort_keys=False) for manifest in manifests(declaration, deployment, namespace)
    ]
    keys = "".join(f"#   {key}: fills {name}\n" for key, name in CREDENTIALS.items())
    note = f"# Keys that the steps read from the Secret, each of which may be missing:\n{keys}"
    (folder / MANIFESTS).write_text(_HEAD + note + "---\n".join(documents), encoding="utf-8")
    return [folder / PIPELINE, folder / MANIFESTS]


def manifests(declaration: Declaration, deployment: Deployment, namespace: str) -> list[dict[str, Any]]:
    """The Secret that the steps read.

    It has no values: they are put in where it is applied, never in a file that is kept.
    """
    labels = {"app.kubernetes.io/name": title(declaration), "app.kubernetes.io/part-of": "headrace"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": deployment.secret, "namespace": namespace, "labels": labels},
            "type": "Opaque",
        },
    ]
