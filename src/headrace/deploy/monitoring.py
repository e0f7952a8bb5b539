"""The files with which Prometheus and Alertmanager watch a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from headrace.declare.declaration import Declaration
from headrace.deploy.files import write_json, write_yaml
from headrace.deploy.prometheus import rules
from headrace.deploy.proofs import proofs
from headrace.errors import DeployError
from headrace.profiles import Profile
from headrace.retraining.webhook import PATH
from headrace.roles.exposition import address_of
from headrace.roles.supervisor import ROLES

_COMMAND: Final = "headrace export prometheus"


def prometheus_files(declaration: Declaration, profile: Profile, folder: Path) -> list[Path]:
    """Writes them, and says which.

    rules.yml; rules_test.yml for `promtool test rules`; targets.json for a file_sd_config; alertmanager.yml, whose
    route leads the declared alerts to the monitor, where the profile says at what address it waits for them.
    """
    name = declaration.name
    written = [
        write_yaml(folder / f"{name}.rules.yml", rules(declaration), command=_COMMAND),
        write_yaml(folder / f"{name}.rules_test.yml", proofs(declaration, f"{name}.rules.yml"), command=_COMMAND),
        write_json(folder / f"{name}.targets.json", targets(declaration, profile)),
    ]
    webhook = profile.webhook()
    if webhook is not None:
        written.append(write_yaml(folder / "alertmanager.yml", alertmanager(name, webhook), command=_COMMAND))
    return written


def targets(declaration: Declaration, profile: Profile) -> list[dict[str, Any]]:
    """Where each role answers Prometheus, as a file for file_sd_configs. The server does so at its own address."""
    found = []
    for role in ROLES:
        address = urlsplit(profile.server).netloc if role == "serve" else address_of(role, profile.metrics)
        if address is not None:
            found.append({"targets": [address], "labels": {"project": declaration.name, "role": role}})
    if not profile.metrics and declaration.monitors:
        raise DeployError(
            f"profile {profile.name}",
            "its roles tell Prometheus nothing, and the declared alerts need what the monitor tells",
            "set metrics = '127.0.0.1:9200' (the first role's address; each further one has the next port)",
        )
    return found


def alertmanager(project: str, webhook: str) -> dict[str, Any]:
    """A configuration that sends a project's declared alerts to its monitor, at once and again every minute."""
    monitor, nobody = f"headrace-{project}", "nobody"
    return {
        "route": {
            "receiver": nobody,
            "routes": [
                {
                    "receiver": monitor,
                    "matchers": ['source="headrace"', f'project="{project}"'],
                    "group_by": ["project", "metric"],
                    "group_wait": "1s",
                    "group_interval": "5s",
                    "repeat_interval": "1m",
                    "continue": True,
                }
            ],
        },
        "receivers": [
            {"name": nobody},
            {
                "name": monitor,
                "webhook_configs": [{"url": f"http://{webhook}{PATH}", "send_resolved": True}],
            },
        ],
    }
