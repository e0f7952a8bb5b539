"""Why a prediction is what it is: a base value and a number a feature, in the prediction's unit, that sum to it.

Trees are explained by TreeSHAP (Lundberg et al. 2020, "From local explanations to global understanding with
explainable AI for trees"): exact Shapley values of the margin, the sum of the trees. Where the prediction is the
margin, that is all. Where a link lies between the two (a probability of a classifier, the mean of a Poisson or
gamma regression), Shapley values of the prediction itself cannot be had in reasonable time (Van den Broeck, Lykov,
Schleich and Suciu 2022, "On the tractability of SHAP explanations": intractable as soon as a sigmoid lies over a
sum). So the margin's exact values are carried through the link by the Aumann-Shapley rule: from the base to the
margin on a straight line, each feature gets its share of the way. As all shares pass the same link, that is

    value = margin's value * (link(margin) - link(base)) / (margin - base)

the rescale rule of G-DeepSHAP (Chen, Lundberg and Lee 2022, "Explaining a series of models by propagating Shapley
values"). Signs, order and proportions are those of the exact values on the margin, the sum is exact, and no
background sample is drawn. `base` is the prediction at the mean margin of the training examples.

Other models are explained by kernel SHAP (models/kernel_shap.py) in the unit of the prediction itself; there `base`
is the mean prediction of a sample of training examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from headrace.errors import ModelError

Terms = npt.NDArray[np.float64]
"""Contributions of some rows: shape (rows, columns + 1), the base in the last column, as XGBoost lays them out."""

_NEAR: Final = 1e-6
_ROUNDING: Final = 1e-3
"""The share of its size by which a sum of float32 terms may miss the prediction."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one prediction: `base` plus the sum of `values`, one a feature, is the prediction."""

    base: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Link:
    """From margin to prediction. slope: its derivative."""

    apply: Callable[[Terms], Terms]
    slope: Callable[[Terms], Terms]


def _logistic(margin: Terms) -> Terms:
    found: Terms = 0.5 * (1.0 + np.tanh(0.5 * margin))
    return found


IDENTITY: Final = Link(lambda margin: margin, np.ones_like)
LOGISTIC: Final = Link(_logistic, lambda margin: _logistic(margin) * _logistic(-margin))
LOG: Final = Link(np.exp, np.exp)


def through(link: Link, terms: Terms) -> Terms:
    """Terms of the margin as terms of the prediction.

    >>> through(LOGISTIC, np.array([[2.0, -1.0, 0.0]])).round(3)
    array([[ 0.462, -0.231,  0.5  ]])
    """
    base, way = terms[:, -1], terms[:, :-1].sum(axis=1)
    near = np.abs(way) < _NEAR
    start = link.apply(base)
    secant = (link.apply(base + way) - start) / np.where(near, 1.0, way)
    rate = np.where(near, link.slope(base + way / 2), secant)
    return np.column_stack([terms[:, :-1] * rate[:, None], start])


def summing(terms: Terms, predicted: npt.NDArray[np.float64]) -> Terms:
    """Terms that sum to the predictions: what rounding left over goes to the largest of a row.

    Raises ModelError where it is more than rounding: then they are no explanation of this model.
    """
    left = predicted - terms.sum(axis=1)
    size = np.abs(terms).sum(axis=1) + np.abs(predicted)
    if (np.abs(left) > _ROUNDING * size).any():
        raise ModelError(
            "explanation",
            f"its terms miss the prediction by {np.abs(left).max():.3g}",
            "use an objective whose prediction is its margin, a logistic or a log link",
        )
    found = terms.copy()
    if terms.shape[1] > 1:
        largest = np.abs(terms[:, :-1]).argmax(axis=1)
        found[np.arange(len(terms)), largest] += left
    return found


def explanations(names: Sequence[str], terms: Terms) -> list[Explanation]:
    """
    >>> explanations(["units"], np.array([[1.5, 2.0]]))
    [Explanation(base=2.0, values={'units': 1.5})]
    """
    return [Explanation(row[-1], dict(zip(names, row, strict=False))) for row in terms.tolist()]
