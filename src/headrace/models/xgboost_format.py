"""XGBoost's own binary JSON (UBJSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from headrace.errors import MissingExtra, ModelError
from headrace.models.encoding import Encoding, Matrix
from headrace.models.explanation import IDENTITY, LOG, LOGISTIC, Link, Terms, summing, through

try:
    import xgboost
except ImportError as error:
    raise MissingExtra("model format 'xgboost'", "xgboost", "train") from error

LINKS: Final[Mapping[str, Link]] = {
    "binary:logistic": LOGISTIC,
    "reg:logistic": LOGISTIC,
    "count:poisson": LOG,
    "reg:gamma": LOG,
    "reg:tweedie": LOG,
    "survival:cox": LOG,
    "survival:aft": LOG,
}
"""By objective; the others predict the margin itself."""


class XGBoostFormat:
    """Boosters, and the estimators of XGBoost's scikit-learn interface that hold one."""

    def version(self) -> str:
        return f"xgboost {xgboost.__version__}"

    def write(self, model: Any, path: Path, encoding: Encoding) -> None:
        _booster(model).save_model(path)

    def read(self, path: Path, encoding: Encoding) -> BoosterPredictor:
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

    def contributions(self, matrix: Matrix) -> Terms:
        data = xgboost.DMatrix(
            matrix, feature_names=self.booster.feature_names, feature_types=self.booster.feature_types, nthread=1
        )
        terms = self.booster.predict(data, pred_contribs=True, iteration_range=self._rounds)
        if terms.ndim != 2:
            raise ModelError("explanation", "the model gives several numbers an example", "train a binary one")
        return summing(through(self._link, terms.astype(np.float64)), self.predict(matrix))

    @cached_property
    def _link(self) -> Link:
        objective = json.loads(self.booster.save_config())["learner"]["objective"]["name"]
        return LINKS.get(objective, IDENTITY)  # of one that is not known, `summing` finds that it has another


def _booster(model: Any) -> Any:
    if isinstance(model, xgboost.Booster):
        return model
    try:
        return model.get_booster()
    except AttributeError as error:  # sklearn's NotFittedError is one
        raise ModelError(
            f"model {type(model).__name__}", "it is not fitted", "return the model after .fit(x, y)"
        ) from error
