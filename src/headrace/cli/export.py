"""`headrace export flink|prometheus|feast|kubeflow PROJECT DIR`: what runs elsewhere, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Home, ProfileName, ProjectPath, open_project
from headrace.deploy.monitoring import prometheus_files

app = typer.Typer(help="Write what runs elsewhere as files.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made where it is not there.")]


@app.command()
def flink(project: ProjectPath, folder: Folder, profile: ProfileName = "cluster", home: Home = None) -> None:
    """Write both jobs as SQL scripts, and as PyFlink programs for `flink run -py`."""
    declaration, chosen = open_project(project, profile, home)
    for file in chosen.export_flink(declaration, folder):
        print(file)


@app.command()
def prometheus(project: ProjectPath, folder: Folder, profile: ProfileName = "local", home: Home = None) -> None:
    """Write rules with their unit tests, scrape targets, and Alertmanager's route to the retraining webhook."""
    declaration, chosen = open_project(project, profile, home)
    for file in prometheus_files(declaration, chosen, folder):
        print(file)


@app.command()
def feast(project: ProjectPath, folder: Folder, profile: ProfileName = "local", home: Home = None) -> None:
    """Write a Feast repo: its stores answer with Headrace's own values. `feast apply` in DIR registers it."""
    from headrace.feast.repo import export

    declaration, _ = open_project(project, profile, home)
    for file in export(declaration, profile, home, folder):
        print(file)


@app.command()
def kubeflow(
    project: ProjectPath,
    folder: Folder,
    image: Annotated[
        str | None, typer.Option(help="The image of the steps, with a version or a digest; else the profile's.")
    ] = None,
    profile: ProfileName = "local",
    home: Home = None,
) -> None:
    """Write the training pipeline as a package, and what Kubernetes must hold before it runs."""
    from headrace.training.package import export

    declaration, chosen = open_project(project, profile, home)
    namespace = chosen.kubeflow.get("namespace", "kubeflow")
    for file in export(declaration, chosen.deployment(image), folder, namespace):
        print(file)
