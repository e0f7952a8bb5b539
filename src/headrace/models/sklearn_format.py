"""scikit-learn's estimators and pipelines in the format of skops, which lists the types that it holds.

Only types that skops knows to be safe, and those of `HELD`, are written or read; nothing of the user's own is
imported, nothing is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from headrace.errors import MissingExtra, ModelError
from headrace.models.encoding import Encoding, Matrix

try:
    import sklearn
    from sklearn.base import is_classifier
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingExtra("model format 'sklearn'", "scikit-learn", "train") from error
try:
    from skops import io
except ImportError as error:
    raise MissingExtra("model format 'sklearn'", "skops", "train") from error

HELD: Final = (
    "functools.partial",
    "numpy.dtype",
    "numpy.number",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""Parts of scikit-learn's own models that skops does not list: they hold numbers and settings, and run nothing. (A
partial is one of a function that is itself named here, or known to skops.)

A forged tree could make the process read where it should not; that no file was forged is what the sha256 is for.
"""


class SklearnFormat:
    """Regressors, and classifiers that give probabilities."""

    def version(self) -> str:
        return f"sklearn {sklearn.__version__}"

    def write(self, model: Any, path: Path, encoding: Encoding) -> None:
        subject = f"model {type(model).__name__}"
        try:
            check_is_fitted(model)
        except sklearn.exceptions.NotFittedError as error:
            raise ModelError(subject, "it is not fitted", "return the model after .fit(x, y)") from error
        if is_classifier(model) and not hasattr(model, "predict_proba"):
            raise ModelError(
                subject, "it gives no probabilities", "wrap it in sklearn.calibration.CalibratedClassifierCV"
            )
        _columns(model, encoding)
        io.dump(model, path)
        try:
            _refuse_unknown(path, subject)
        except ModelError:
            path.unlink()
            raise

    def read(self, path: Path, encoding: Encoding) -> SklearnPredictor:
        _refuse_unknown(path, f"model {path}")
        try:
            model = io.load(path, trusted=list(HELD))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ModelError(
                f"model {path}", f"scikit-learn cannot read it: {error}", "train it again with this version"
            ) from error
        return SklearnPredictor(model, encoding)


class SklearnPredictor:
    """Gives the model the same data frame as in training, made from the matrix."""

    def __init__(self, model: Any, encoding: Encoding) -> None:
        self._columns = _columns(model, encoding)
        self._encoding = encoding
        # Waking threads costs more than the few rows of a request.
        alone = {name: 1 for name in model.get_params() if name.rpartition("__")[2] == "n_jobs"}
        model.set_params(**alone)
        self._classifies = is_classifier(model)
        self._model = model

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float64]:
        x = matrix if self._columns is None else self._encoding.matrix_frame(matrix)[self._columns]
        if not self._classifies:
            return np.asarray(self._model.predict(x), np.float64)
        chances = np.asarray(self._model.predict_proba(x), np.float64)
        return chances[:, 1] if chances.shape[1] == 2 else chances


def _columns(model: Any, encoding: Encoding) -> list[str] | None:
    """The columns of the data frame that a model was fitted on; None where it was an array of x's numbers."""
    subject, remedy = f"model {type(model).__name__}", "fit it on x, or on some of its columns"
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        strange = [str(name) for name in names if name not in encoding.names]
        if strange:
            raise ModelError(subject, f"it was fitted on {', '.join(strange)}, which x does not have", remedy)
        return [str(name) for name in names]
    if any(column.levels is not None for column in encoding.columns):
        raise ModelError(subject, "it was fitted without column names, and x has categories", remedy)
    count = getattr(model, "n_features_in_", len(encoding.names))
    if count != len(encoding.names):
        raise ModelError(subject, f"it was fitted on {count} nameless columns", remedy)
    return None


def _refuse_unknown(path: Path, subject: str) -> None:
    unknown = sorted(set(io.get_untrusted_types(file=path)) - set(HELD))
    if unknown:
        raise ModelError(
            subject,
            f"it holds {', '.join(unknown)}, which is not known to be safe to read",
            "build it of scikit-learn's own estimators and transformers",
        )
