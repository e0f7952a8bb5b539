"""The process that runs one pipeline under kfp.local.

A process of its own, because kfp.local replaces `print` and the root logger's handlers and keeps its configuration
in a global, and because a monitor that trains now and then need not keep kfp in memory.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from headrace.training.lifeline import hold


def orchestrate(parameters: dict[str, Any], settings: dict[str, Any], root: str) -> None:
    """Runs the training pipeline with these settings; outputs go to `root`. RuntimeError when a step fails."""
    warnings.filterwarnings("ignore", module="kfp")
    from kfp import local

    from headrace.training.pipeline import pipeline

    made = pipeline(parameters)
    # kfp.local deletes the workspace when the pipeline ends; nobody uses it.
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root, workspace_root=f"{root}/workspace")
    made(**settings, **parameters)


if __name__ == "__main__":
    hold()
    orchestrate(**json.loads(sys.argv[1]))
