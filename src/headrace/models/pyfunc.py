"""What `mlflow.pyfunc.load_model("models:/demand@champion")` calls: a model for a data frame. No MLflow here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.models.artifact import Artifact, load

if TYPE_CHECKING:
    import pandas as pd


class Model:
    """An artifact behind MLflow's `predict`."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> npt.NDArray[np.float64]:
        """Predictions of the rows of a frame with the features as columns: those that Headrace serves."""
        return self.artifact.predict_table(pa.Table.from_pandas(model_input, preserve_index=False))


def _load_pyfunc(path: str) -> Model:
    return Model(load(Path(path)))
