"""What OpenAPI says of requests and answers, from the declaration."""

from __future__ import annotations

from typing import Any, Final

from headrace.declare.declaration import Declaration
from headrace.serving.requests import ROWS, Requests


def predict_operation(declaration: Declaration, requests: Requests) -> dict[str, Any]:
    """What OpenAPI says of /predict."""
    row = requests.row_schema()
    many = {"type": "array", "items": row, "minItems": 1, "maxItems": ROWS}
    rows = {
        "type": "object", "properties": {"rows": many, "explain": {"type": "boolean", "default": False}},
        "required": ["rows"], "additionalProperties": False,
    }  # fmt: skip
    example = requests.example()
    content = {
        "schema": {"oneOf": [row, rows]},
        "examples": {"row": {"value": example}, "rows": {"value": {"rows": [example]}}},
    }
    prediction = _prediction(f"of {declaration.label.name}")
    many = {"type": "object", "properties": {"predictions": {"type": "array", "items": prediction}}}
    answer = {"content": {"application/json": {"schema": {"oneOf": [prediction, many]}}}}
    refusals = {status: {"description": text, **_refused()} for status, text in _REFUSALS.items()}
    explain = {
        "name": "explain", "in": "query", "schema": {"type": "boolean", "default": False},
        "description": "Beside each prediction its explanation. The same as \"explain\": true beside rows, or "
        "in a row where that is no column's name.",
    }  # fmt: skip
    return {
        "parameters": [explain],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": {"description": "Predictions.", **answer}, **refusals},
    }


def explanation_operation() -> dict[str, Any]:
    """What OpenAPI says of /predictions/{id}/explanation."""
    answer = {"content": {"application/json": {"schema": _prediction("as it was answered")}}}
    texts = {"404": "No such prediction.", "503": "The model that made it cannot be loaded, or explains nothing."}
    refusals = {status: {"description": text, **_refused()} for status, text in texts.items()}
    return {"responses": {"200": {"description": "The prediction and why.", **answer}, **refusals}}


def _prediction(description: str) -> dict[str, Any]:
    values = {"type": "object", "additionalProperties": {"type": "number"}, "description": "by feature"}
    explanation = {
        "type": "object",
        "description": "where it was asked for: base and values sum to the prediction, in its unit",
        "properties": {"base": {"type": "number"}, "values": values},
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "prediction": {"type": "number", "description": description},
            "model": {"type": "string", "description": "the model's version"},
            "t": {"type": "integer", "description": "the instant of its features, ms since 1970 UTC"},
            "unknown": {"type": "boolean", "description": "predicted from an empty history"},
            "decision": {"type": "boolean", "description": "by the model's threshold, where it has one"},
            "explanation": explanation,
        },
    }


def _refused() -> dict[str, Any]:
    error = {"type": "object", "properties": {"error": {"type": "object", "properties": {n: {} for n in _ERROR}}}}
    return {"content": {"application/json": {"schema": error}}}


_ERROR: Final = ("subject", "cause", "remedy", "field", "others")
_REFUSALS: Final = {
    "400": "The body is not JSON.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON.",
    "422": "A row is not as declared; the error names the field.",
    "503": "The server cannot predict now.",
}
