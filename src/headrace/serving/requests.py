"""What a caller may send: one row, or many, validated by Pydantic from the declaration's request.

Types are strict: text is never read as a number, a whole number is never given as 3.0. What cannot be taken is a
`Refusal` that names the row and the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NotRequired

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from headrace.declare.declaration import Declaration
from headrace.declare.types import ColumnType, Kind
from headrace.errors import ServingError
from headrace.features.partials import Scalar

ROWS: Final = 1_000
"""The most rows in a request."""
EXPLAINED: Final = 50
"""The most rows in a request that asks for explanations."""
BYTES: Final = 1_000_000
"""The most bytes in a body."""
TEXT: Final = 10_000
"""The most characters in a text."""
_SHOWN: Final = 80
_REPORTED: Final = 20

_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Refusal(ServingError):
    """A request that is not taken. status: of HTTP, 4xx. field: `units`, or `rows[3].units`."""

    def __init__(
        self,
        cause: str,
        remedy: str,
        *,
        subject: str = "request",
        status: int = 422,
        field: str | None = None,
        others: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(subject, cause, remedy)
        self.status = status
        self.field = field
        self.others = list(others)


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of one request, with every column of the declaration's request (times in ms)."""

    rows: list[dict[str, Scalar]]
    many: bool
    """They came as `{"rows": [...]}`, and the answer has that form too."""
    explain: bool = False


class Requests:
    """Reads bodies.

    >>> from types import SimpleNamespace
    >>> columns = {"sku": ColumnType("str"), "units": ColumnType("int", nullable=True)}
    >>> requests = Requests(columns)
    >>> requests.read(b'{"sku": "tea"}')
    Asked(rows=[{'sku': 'tea', 'units': None}], many=False, explain=False)
    >>> requests.read(b'{"rows": [{"sku": "tea", "units": 3.5}]}')
    Traceback (most recent call last):
    headrace.serving.requests.Refusal: request: rows[0].units is 3.5: a whole number is needed. To mend it: ...
    """

    def __init__(self, columns: Mapping[str, ColumnType]) -> None:
        self._columns = dict(columns)
        self._optional = [name for name, kind in columns.items() if kind.nullable]
        make: Any = TypedDict  # a TypedDict, since it validates straight into a plain dictionary
        row = make("Row", {name: _annotation(kind) for name, kind in columns.items()})
        rows: Any = list.__class_getitem__(row)
        row.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, title="Row")
        self._rows: TypeAdapter[list[dict[str, Scalar]]] = TypeAdapter(rows)
        self._row: TypeAdapter[dict[str, Scalar]] = TypeAdapter(row)

    @classmethod
    def of(cls, declaration: Declaration) -> Requests:
        return cls(declaration.request)

    def read(self, body: bytes) -> Asked:
        """The rows in a body. Refusal (400 where it is not JSON, 413 where it is too much, else 422)."""
        if len(body) > BYTES:
            raise too_large()
        content = _parse(body)
        if not isinstance(content, dict):
            raise Refusal(f"the body is {_kind(content)}", 'send an object: a row, or {"rows": [row, ...]}')
        many = "rows" in content and ("rows" not in self._columns or isinstance(content["rows"], list))
        explain = many or "explain" not in self._columns
        explain = explain and _explain(content.pop("explain", False))
        rows = self._many(content) if many else [content]
        try:
            valid = self._rows.validate_python(rows)
        except ValidationError as error:
            raise self._refusal(error, many) from None
        for row in valid:
            for name in self._optional:
                row.setdefault(name, None)
        if explain:
            few(valid)
        return Asked(valid, many, explain)

    def row_schema(self) -> dict[str, Any]:
        """The JSON schema of a row, with an example."""
        return {**self._row.json_schema(), "examples": [self.example()]}

    def example(self) -> dict[str, Any]:
        """A row as a caller writes it."""
        return {name: _EXAMPLES[kind.kind] for name, kind in self._columns.items()}

    def rehearsal(self) -> list[dict[str, Scalar]]:
        """The example as rows for the predictor."""
        return self._rows.validate_python([self.example()])

    def _many(self, content: dict[str, Any]) -> list[Any]:
        others = [key for key in content if key != "rows"]
        if others:
            raise Refusal(
                f"{_shown(others[0])} stands beside rows",
                "send nothing beside rows; columns belong into each row",
                field=_short(others[0]),
            )
        rows = content["rows"]
        if not isinstance(rows, list):
            raise Refusal(f"rows is {_kind(rows)}", "send a list of rows", field="rows")
        if not rows:
            raise Refusal("rows is empty", "send at least one row", field="rows")
        if len(rows) > ROWS:
            raise Refusal(f"it has {len(rows)} rows", f"send at most {ROWS} a request", status=413, field="rows")
        return rows

    def _refusal(self, error: ValidationError, many: bool) -> Refusal:
        details = error.errors(include_url=False, include_context=False)
        found = [self._explain(detail, many) for detail in details[:_REPORTED]]
        first = found[0]
        return Refusal(first["cause"], first["remedy"], field=first["field"] or None, others=found[1:])

    def _explain(self, detail: ErrorDetails, many: bool) -> dict[str, str]:
        place, *names = detail["loc"]
        name = _short(str(names[0])) if names else ""
        field = ".".join(part for part in (f"rows[{place}]" if many else "", name) if part)
        there = field or "the row"
        if detail["type"] == "missing":
            return {"field": field, "cause": f"{there} is missing", "remedy": self._need(name)}
        if detail["type"] == "extra_forbidden":
            allowed = f"send only {', '.join(self._columns)}"
            return {"field": field, "cause": f"{there} is not a column of the request", "remedy": allowed}
        if detail["type"] == "string_unicode" and name not in self._columns:
            cause = f"{there} has a name that is not Unicode (a lone surrogate)"
            return {"field": field, "cause": cause, "remedy": "send whole Unicode characters"}
        cause = f"{there} is {_shown(detail['input'])}: {_CAUSES.get(detail['type'], detail['msg'])}"
        return {"field": field, "cause": cause, "remedy": self._need(name) if name else "send an object"}

    def _need(self, name: str) -> str:
        kind = self._columns[name]
        return f"send {_NEEDS[kind.kind]}{', or null,' if kind.nullable else ''} as {name}"


def few(rows: Sequence[Any]) -> None:
    """Refusal (413) of more rows than are explained at once."""
    if len(rows) > EXPLAINED:
        raise Refusal(
            f"it has {len(rows)} rows to explain", f"send at most {EXPLAINED} a request", status=413, field="rows"
        )


def _explain(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refusal(f"explain is {_shown(value)}", "send true or false as explain", field="explain")
    return value


def too_large() -> Refusal:
    return Refusal(f"the body is larger than {BYTES} bytes", "send fewer rows a request", status=413)


def _annotation(kind: ColumnType) -> Any:
    bare = _ANNOTATIONS[kind.kind]
    return NotRequired[bare | None] if kind.nullable else bare


def moment(value: object) -> int:
    """Milliseconds since 1970 of an RFC 3339 time; what is finer than a millisecond is cut off.

    >>> moment("2017-03-01T12:00:00.5+01:00")
    1488366000500
    """
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("moment", "a time with its zone is needed")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    ahead = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    if ahead >= timedelta(days=1) or int(match[10] or 0) > 59:
        raise PydanticCustomError("moment", "it has no such zone")
    try:
        there = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        time = there + ahead if match[8] == "-" else there - ahead
    except (ValueError, OverflowError):
        raise PydanticCustomError("moment", "there is no such time") from None
    milliseconds = (time - _EPOCH) // timedelta(milliseconds=1) + int((match[7] or "").ljust(3, "0")[:3])
    if milliseconds < 0:
        raise PydanticCustomError("moment", "it lies before 1970")
    return milliseconds


def _parse(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refusal(f"the body is not UTF-8 (byte {error.start})", "send JSON in UTF-8", status=400) from None
    except RecursionError:
        raise Refusal("the body is nested too deeply", "send rows of plain values", status=400) from None
    except json.JSONDecodeError as error:
        cause = f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise Refusal(cause, "send a JSON object", status=400) from None
    except ValueError as error:  # a whole number of more digits than Python reads
        raise Refusal(f"the body holds a number that is too long: {error}", "send 64 bits", status=400) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise Refusal(f"the key {_shown(twice)} stands twice", "send it once", status=400, field=_short(twice))
    return content


def _constant(text: str) -> Any:
    raise Refusal(f"the body holds {text}, which is not JSON", "send finite numbers, or null", status=400)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return _kind(value)
    return _short(json.dumps(value))


def _short(text: str) -> str:
    """Cut to a length for an error, with lone surrogates escaped."""
    safe = text[:_SHOWN].encode("utf-8", "backslashreplace").decode()
    return safe if len(text) <= _SHOWN else f"{safe}..."


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_KINDS: Final[dict[type, str]] = {
    dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false",
    type(None): "null",
}  # fmt: skip
_ANNOTATIONS: Final[dict[Kind, Any]] = {
    "str": Annotated[str, Field(max_length=TEXT)],
    "int": Annotated[int, Field(ge=-(2**63), le=2**63 - 1)],
    "float": Annotated[float, Field(allow_inf_nan=False)],
    "bool": bool,
    "time": Annotated[int, PlainValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})],
}
_NEEDS: Final[dict[Kind, str]] = {
    "str": f"a text of at most {TEXT} characters",
    "int": "an integer of 64 bits",
    "float": "a finite number",
    "bool": "true or false",
    "time": 'a time from 1970 on such as "2017-03-01T12:00:00Z"',
}
_CAUSES: Final = {
    "int_type": "a whole number is needed",
    "float_type": "a number is needed",
    "finite_number": "a finite number is needed",
    "bool_type": "true or false is needed",
    "string_type": "a text is needed",
    "string_too_long": "the text is too long",
    "string_unicode": "it is not Unicode (a lone surrogate)",
    "greater_than_equal": "it is outside 64 bits",
    "less_than_equal": "it is outside 64 bits",
    "dict_type": "a row is an object",
}
_EXAMPLES: Final[dict[Kind, Any]] = {
    "str": "a", "int": 1, "float": 0.5, "bool": True, "time": "2017-03-01T12:00:00Z",
}  # fmt: skip
