"""Kernel SHAP (Lundberg and Lee 2017) for models that are no trees, by the package shap.

A feature that is left out takes its values from a sample of the training examples, which lies in the artifact. With
up to eleven features all subsets are enumerated, which gives the Shapley values themselves; beyond, about two
thousand subsets are drawn from a seed, so that the same row is explained the same way each time.
"""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from headrace.errors import MissingExtra, ModelError
from headrace.models.encoding import Matrix
from headrace.models.explanation import Terms, summing

ROWS: Final = 50
"""Training examples that stand for those a feature might have come from."""
_DRAWING: Final = Lock()


class Predicts(Protocol):
    def predict(self, matrix: Matrix) -> Any: ...


def background(matrix: Matrix, seed: int) -> Matrix:
    """A sample of the rows of a training matrix, in their order."""
    if len(matrix) <= ROWS:
        return matrix
    chosen = np.random.default_rng(seed).choice(len(matrix), ROWS, replace=False)
    found: Matrix = matrix[np.sort(chosen)]
    return found


class KernelShap:
    """A predictor that can be explained by asking it.

    background: None where no sample was kept. `contributions` raises MissingExtra where shap is not installed.
    """

    def __init__(self, predictor: Predicts, background: Matrix | None, seed: int) -> None:
        self._predictor = predictor
        self._background = background
        self._seed = seed

    def predict(self, matrix: Matrix) -> Any:
        return self._predictor.predict(matrix)

    def contributions(self, matrix: Matrix) -> Terms:
        explainer, found = self._explainer, []
        for row in matrix:
            with _DRAWING:  # shap draws from numpy's global generator
                state = np.random.get_state()
                np.random.seed(self._seed)
                try:
                    found.append(explainer.shap_values(row[None, :], l1_reg=False, silent=True)[0])
                finally:
                    np.random.set_state(state)
        base = np.full((len(matrix), 1), float(explainer.expected_value))
        terms = np.hstack([np.array(found).reshape(matrix.shape), base])
        return summing(terms, np.asarray(self.predict(matrix), np.float64))

    @cached_property
    def _explainer(self) -> Any:
        if self._background is None:
            raise ModelError(
                "explanation", "no sample of the training examples lies beside the model", "train it again"
            )
        try:
            from shap import KernelExplainer
        except ImportError as error:
            raise MissingExtra("explanation", "shap", "explain") from error

        def ask(matrix: Matrix) -> npt.NDArray[np.float64]:
            return np.asarray(self.predict(np.asarray(matrix, np.float64)), np.float64)

        return KernelExplainer(ask, self._background)
