"""What the server answers: JSON of predictions and of errors, and of each its status."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace.errors import FeatureError, HeadraceError, StoreUnavailable
from headrace.serving.predictor import Explanation, Prediction
from headrace.serving.requests import Refusal

_LOG: Final = logging.getLogger("headrace.serve")
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def dump(content: Any) -> bytes:
    return _ENCODE(content).encode()


def told(prediction: Prediction, why: Explanation | None = None) -> dict[str, Any]:
    """A prediction as a caller reads it."""
    content = {name: getattr(prediction, name) for name in Prediction.__slots__}
    if prediction.decision is None:
        del content["decision"]
    if why is not None:
        content["explanation"] = {"base": why.base, "values": dict(why.values)}
    return content


def predicted(predictions: Sequence[Prediction], why: Sequence[Explanation] | None, many: bool) -> bytes:
    """The answer to a request."""
    reasons = [None] * len(predictions) if why is None else why
    rows = [told(one, reason) for one, reason in zip(predictions, reasons, strict=True)]
    return dump({"predictions": rows} if many else rows[0])


def refused(error: HeadraceError) -> tuple[int, bytes]:
    """What the caller can mend is 4xx; what the server lacks is 503."""
    content: dict[str, Any] = {"subject": error.subject, "cause": error.cause, "remedy": error.remedy}
    if isinstance(error, Refusal):
        if error.field is not None:
            content["field"] = error.field
        if error.others:
            content["others"] = error.others
        return error.status, failed(content)
    if isinstance(error, FeatureError) and not isinstance(error, StoreUnavailable):
        return 422, failed(content)
    _LOG.error("a request could not be answered: %s", error)
    return 503, failed(content)


def failed(content: Mapping[str, Any]) -> bytes:
    return dump({"error": content})
