"""XGBoost's own binary JSON (UBJSON)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.errors import MissingExtra, ModelError
from headrace.models.encoding import Matrix

try:
    import xgboost
except ImportError as error:
    raise MissingExtra("model format 'xgboost'", "xgboost", "train") from error


class XGBoostFormat:
    """Boosters, and the estimators of XGBoost's scikit-learn interface that hold one."""

    def version(self) -> str:
        return f"xgboost {xgboost.__version__}"

    def write(self, model: Any, path: Path) -> None:
        _booster(model).save_model(path)

    def read(self, path: Path) -> BoosterPredictor:
        booster = xgboost.Booster()
        try:
            booster.load_model(path)
        except xgboost.core.XGBoostError as error:
            raise ModelError(
                f"model {path}", "XGBoost cannot read it", "train it again with this version of XGBoost"
            ) from error
        return BoosterPredictor(booster)


class BoosterPredictor:
    """Predicts from category codes: XGBoost recodes data frames, and takes the codes in a matrix as they are."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        best = booster.attr("best_iteration")
        self._rounds = (0, 0) if best is None else (0, int(best) + 1)
        # Waking threads costs more than the few rows of a request; once set, predicting is safe in many threads.
        booster.set_param({"nthread": 1})

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float64]:
        predicted = self.booster.inplace_predict(matrix, iteration_range=self._rounds, validate_features=False)
        return np.asarray(predicted, dtype=np.float64)


def _booster(model: Any) -> Any:
    if isinstance(model, xgboost.Booster):
        return model
    try:
        return model.get_booster()
    except AttributeError as error:  # sklearn's NotFittedError is one
        raise ModelError(
            f"model {type(model).__name__}", "it is not fitted", "return the model after .fit(x, y)"
        ) from error
