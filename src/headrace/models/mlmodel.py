"""An artifact as MLflow describes one: `MLmodel` with the signature, and an example of the input. No pickles.

The description lies beside the artifact and is not part of what is sealed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headrace.models.artifact import Spec
from headrace.models.encoding import Column, Scalar
from headrace.models.tracking import mlflow

EXAMPLE = "input_example.json"
_LOADER = "headrace.models.pyfunc"


def describe(spec: Spec, folder: Path) -> None:
    """Writes the description of a model into a folder."""
    models = mlflow("mlflow.models")
    folder.mkdir(parents=True, exist_ok=True)
    example = {
        "columns": list(spec.encoding.names),
        "data": [[_typical(spec, column) for column in spec.encoding.columns]],
    }
    (folder / EXAMPLE).write_text(json.dumps(example) + "\n", encoding="utf-8")
    model = models.Model(
        artifact_path="model",
        signature=_signature(spec),
        saved_input_example_info={
            "artifact_path": EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        },
    )
    model.add_flavor("python_function", loader_module=_LOADER)
    model.save(str(folder / "MLmodel"))


def _signature(spec: Spec) -> Any:
    types, models = mlflow("mlflow.types"), mlflow("mlflow.models")
    inputs = types.Schema(
        [types.ColSpec(_type(spec, column), column.name, required=False) for column in spec.encoding.columns]
    )
    return models.ModelSignature(inputs=inputs, outputs=types.Schema([types.ColSpec("double")]))


def _type(spec: Spec, column: Column) -> Any:
    """MLflow's name of a column's kind.

    pandas holds whole numbers among which some are missing as floats, for which MLflow has only `any`.
    """
    baseline = spec.baselines.get(column.name)
    if column.kind == "int" and (baseline is None or baseline.shares[0] > 0):
        return mlflow("mlflow.types.schema").AnyType()
    return {"int": "long", "float": "double", "bool": "boolean", "str": "string"}[column.kind]


def _typical(spec: Spec, column: Column) -> Scalar:
    """A value such as occurred; for a number, about the middle."""
    if column.levels is not None:
        return column.levels[0] if column.levels else None
    if column.kind == "bool":
        return False
    baseline = spec.baselines.get(column.name)
    edges = () if baseline is None else baseline.edges or ()
    if not edges:
        return 0 if column.kind == "int" else 0.0
    middle = edges[len(edges) // 2]
    return round(middle) if column.kind == "int" else float(middle)
