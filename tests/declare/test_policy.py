"""The metrics of rules and policy are those of the task, which the label tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.declare.load import read_project
from headrace.errors import DeclarationError

PROJECTS = Path(__file__).parents[1] / "projects"
FRAUD = (PROJECTS / "fraud.py").read_text()
RULES = FRAUD[FRAUD.index("fraud.monitor(") :]


def classifier(folder: Path, rules: str) -> Path:
    """The fraud project with other rules."""
    file = folder / "project.py"
    file.write_text(FRAUD.replace(RULES, rules))
    return file


@pytest.mark.parametrize(
    ("rules", "subject", "cause", "remedy"),
    [
        ("fraud.monitor(mae=hr.rises(0.1))", "monitor mae", "classification", "log_loss"),
        ("fraud.monitor(auc=hr.rises(0.1))", "monitor auc", "rises", "falls"),
        ("fraud.monitor(auc=hr.above(0.1))", "monitor auc", "above", "falls"),
        ("fraud.monitor(psi=hr.falls(0.1))", "monitor psi", "falls", "above"),
        ("fraud.monitor(auc=0.1)", "monitor auc", "0.1 is no rule", "falls(...)"),
        ("fraud.monitor(auc=hr.falls('0.1'))", "rule falls", "'0.1' is not a number", "falls(0.1)"),
        ("fraud.monitor(auc=hr.falls(float('nan')))", "rule falls", "nan is not a number", "falls(0.1)"),
        ("fraud.retrain(on='auc')", "retrain", "on='auc' is a text", "on=('auc',)"),
        ("fraud.retrain(promote='auc')", "retrain", "promote='auc' is no condition", "better("),
        ("fraud.retrain(promote=hr.better('rmse'))", "retrain", "classification", "auc"),
    ],
)
def test_what_no_classifier_has_is_refused(
    rules: str, subject: str, cause: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError) as refused:
        read_project(classifier(tmp_path, rules))
    assert refused.value.subject == subject
    assert cause in refused.value.cause
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("rules", ["", "fraud.retrain(every='7d')"])
def test_the_task_chooses_the_metric_where_none_is_named(rules: str, tmp_path: Path) -> None:
    assert read_project(classifier(tmp_path, rules)).retrain.promote.metric == "log_loss"
