"""How the steps run on a Kubeflow: the image, what each may use, how often it is tried again, its Secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Resources:
    """What a step asks for and may use at most, as Kubernetes writes it. tries: again, after it failed."""

    cpu: tuple[str, str]
    memory: tuple[str, str]
    tries: int = 2


RESOURCES: Final[Mapping[str, Resources]] = {
    "preprocess": Resources(("1", "4"), ("2G", "8G")),
    "train": Resources(("2", "4"), ("2G", "8G")),
    "evaluate": Resources(("1", "2"), ("1G", "4G")),
    "register": Resources(("500m", "1"), ("1G", "2G")),
}
CREDENTIALS: Final[Mapping[str, str]] = {
    "aws-access-key-id": "AWS_ACCESS_KEY_ID",
    "aws-secret-access-key": "AWS_SECRET_ACCESS_KEY",
    "aws-endpoint-url": "AWS_ENDPOINT_URL",
    "aws-region": "AWS_REGION",
    "mlflow-tracking-username": "MLFLOW_TRACKING_USERNAME",
    "mlflow-tracking-password": "MLFLOW_TRACKING_PASSWORD",
    "mlflow-tracking-token": "MLFLOW_TRACKING_TOKEN",
}
"""Keys of the Secret, and the variables of a step that they fill; a key that is not there fills none."""
_DIGEST: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_TAGGED: Final = re.compile(r"(?:[^\s/@]+/)*[^\s/:@]+:(?P<tag>[\w][\w.-]{0,127})")
_FLOATING: Final = ("latest", "main", "master", "stable", "edge", "nightly", "dev")


@dataclass(frozen=True)
class Deployment:
    """image: a tag that does not move, or a digest; it holds headrace with its extra `train`, and the project.

    project: the project file's path in the image. secret: the name of the Secret with `CREDENTIALS`. addresses: the
    archive's and the registry's, where they are known; a pipeline's parameters have them as defaults.
    """

    image: str
    project: str
    secret: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Resources] = field(default_factory=lambda: RESOURCES)

    def __post_init__(self) -> None:
        check_image(self.image)

    @property
    def settings(self) -> dict[str, str]:
        """Defaults of the pipeline's own parameters."""
        return {**self.addresses, "project": self.project}

    def environment(self) -> dict[str, Any]:
        """A task's configuration for the platform Kubernetes (kfp-kubernetes, `SecretAsEnv`)."""
        filled = [{"secretKey": key, "envVar": name} for key, name in CREDENTIALS.items()]
        parameter = {"runtimeValue": {"constant": self.secret}}
        return {
            "secretAsEnv": [
                {
                    "secretName": self.secret,
                    "secretNameParameter": parameter,
                    "keyToEnv": filled,
                    "optional": True,
                }
            ]
        }


def check_image(image: str) -> None:
    """TrainingError for an image without a tag, or with one that moves.

    >>> check_image("registry.example.org/demand:1.4.2")
    >>> try:
    ...     check_image("demand:latest")
    ... except TrainingError as error:
    ...     print(error.cause)
    its tag 'latest' moves: a run could not be repeated
    """
    remedy = "name a version, as in shop/demand:1.4.2, or a digest, shop/demand@sha256:..."
    if _DIGEST.fullmatch(image):
        return
    found = _TAGGED.fullmatch(image)
    if found is None:
        raise TrainingError(f"image {image!r}", "it has no tag and no digest: a run could not be repeated", remedy)
    if found["tag"] in _FLOATING:
        raise TrainingError(
            f"image {image!r}", f"its tag {found['tag']!r} moves: a run could not be repeated", remedy
        )
