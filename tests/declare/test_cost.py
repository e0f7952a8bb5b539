"""A declared cost belongs to a classification, and to columns that every request has."""

from __future__ import annotations

from pathlib import Path

import pytest

import headrace as hr
from headrace.declare.load import read_project
from headrace.errors import DeclarationError

PROJECTS = Path(__file__).parents[1] / "projects"
FRAUD = (PROJECTS / "fraud.py").read_text()
SHOP = (PROJECTS / "shop.py").read_text()


def with_cost(folder: Path, missed: str, false_alarm: str = "5.0", **changes: str) -> Path:
    """The fraud project with a cost, and with texts replaced."""
    text = FRAUD.replace("seed=11", f"seed=11, cost=hr.cost(missed={missed}, false_alarm={false_alarm})")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "project.py").write_text(text)
    return folder


def test_it_is_part_of_the_model(tmp_path: Path) -> None:
    found = read_project(with_cost(tmp_path, "'amount'"))
    assert found.model.cost == hr.cost(missed="amount", false_alarm=5)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), True, None])
def test_a_number_is_positive(value: float) -> None:
    with pytest.raises(DeclarationError, match="no positive number"):
        hr.cost(missed=value, false_alarm=1.0)


@pytest.mark.parametrize(
    ("missed", "cause"),
    [
        ("'price'", "not a column of the request"),
        ("'merchant'", "Str"),
        ("'sector'", "not a column of the request"),
    ],
)
def test_a_column_is_a_number_of_the_request(missed: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=cause) as refused:
        read_project(with_cost(tmp_path, missed))
    assert refused.value.subject == "cost missed"
    assert "amount" in refused.value.remedy


def test_a_column_is_never_null(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(
        with_cost(tmp_path, "'amount'")
        .joinpath("project.py")
        .read_text()
        .replace("import Float,", "import Float, Null,")
        .replace("amount: Float", "amount: Null[Float]")
    )
    with pytest.raises(DeclarationError, match="never null"):
        read_project(tmp_path)


def test_a_feature_of_that_name_is_the_column(tmp_path: Path) -> None:
    project = with_cost(tmp_path, "'amount'", **{'"amount": request.amount,': '"amount": request.amount * 2,'})
    with pytest.raises(DeclarationError, match="not the column of that name"):
        read_project(project)


def test_a_regression_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(SHOP.replace("seed=", "cost=hr.cost(missed=1, false_alarm=1), seed=", 1))
    with pytest.raises(DeclarationError, match="nothing is decided"):
        read_project(tmp_path)


def test_it_is_made_by_its_function(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(FRAUD.replace("seed=11", "seed=11, cost=5.0"))
    with pytest.raises(DeclarationError, match=r"hr\.cost"):
        read_project(tmp_path)


RULES = FRAUD[FRAUD.index("fraud.monitor(") :]


@pytest.mark.parametrize(
    "rules", ["fraud.monitor(cost=hr.rises(0.1))", "fraud.retrain(promote=hr.better('cost', by=0.1))"]
)
def test_as_a_metric_it_must_be_declared(rules: str, tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(FRAUD.replace(RULES, rules))
    with pytest.raises(DeclarationError, match="declares no cost"):
        read_project(tmp_path)
    found = read_project(with_cost(tmp_path, "'amount'", **{RULES: rules}))
    assert "cost" in (*found.monitors, found.retrain.promote.metric)
