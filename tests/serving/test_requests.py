"""Bodies: what is taken, and that what is not taken names the row and the field."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from headrace.declare.types import ColumnType
from headrace.serving.requests import BYTES, ROWS, TEXT, Refusal, Requests, moment

COLUMNS = {
    "sku": ColumnType("str"),
    "units": ColumnType("int"),
    "price": ColumnType("float"),
    "open": ColumnType("bool"),
    "at": ColumnType("time"),
    "note": ColumnType("str", nullable=True),
    "model_copy": ColumnType("int", nullable=True),  # a name that Pydantic's models have for themselves
}
GOOD: dict[str, Any] = {"sku": "tea", "units": 3, "price": 2.5, "open": True, "at": "2017-03-01T12:00:00Z"}
READ = {**GOOD, "at": 1_488_369_600_000, "note": None, "model_copy": None}
REQUESTS = Requests(COLUMNS)


def read(content: Any) -> Any:
    return REQUESTS.read(json.dumps(content).encode())


def refused(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        REQUESTS.read(body)
    return caught.value


def test_one_row_and_many() -> None:
    assert read(GOOD).rows == [READ]
    assert not read(GOOD).many
    assert read({"rows": [GOOD, {**GOOD, "note": "n"}]}).rows == [READ, {**READ, "note": "n"}]
    assert read({"rows": [GOOD]}).many


def test_a_float_may_be_written_as_an_integer() -> None:
    price = read({**GOOD, "price": 2}).rows[0]["price"]
    assert price == 2.0
    assert isinstance(price, float)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", 3), ("sku", None), ("sku", True), ("sku", ["a"]), ("sku", {"a": 1}), ("sku", "x" * (TEXT + 1)),
        ("sku", "\ud800"), ("sku", "a\udfff"),
        ("units", "3"), ("units", 3.0), ("units", 3.5), ("units", True), ("units", None), ("units", 2**63),
        ("units", -(2**63) - 1), ("units", []), ("units", 10**400),
        ("price", "2.5"), ("price", True), ("price", None), ("price", {}), ("price", 10**400),
        ("open", 1), ("open", 0), ("open", "true"), ("open", None),
        ("at", 1_488_369_600_000), ("at", "2017-03-01"), ("at", "2017-03-01T12:00:00"), ("at", "yesterday"),
        ("at", "1969-12-31T23:59:59.999Z"), ("at", "2017-02-30T12:00:00Z"), ("at", "2017-03-01T25:00:00Z"),
        ("at", "2017-03-01T12:00:60Z"), ("at", "2017-03-01T12:00:00+24:00"), ("at", "2017-03-01T12:00:00+01:60"),
        ("at", "٢٠١٧-03-01T12:00:00Z"), ("at", "1970-01-01T00:00:00+00:01"), ("at", None),
        ("at", " 2017-03-01T12:00:00Z"),
        ("at", "9999-12-31T23:59:59-01:00"),
        ("note", 3), ("model_copy", "1"), ("model_copy", 1.0),
        ("other", 1), ("", 1), ("Sku", "tea"), ("rows[0].sku", "tea"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("many", [False, True])
def test_what_is_wrong_is_named(field: str, value: Any, many: bool) -> None:
    row = {**GOOD, field: value}
    error = refused(json.dumps({"rows": [GOOD, row]} if many else row).encode())
    assert error.status == 422
    name = field or None
    assert error.field == (f"rows[1].{field}" if many and field else "rows[1]" if many else name)
    assert error.remedy


@pytest.mark.parametrize("field", ["sku", "units", "price", "open", "at"])
def test_what_is_missing_is_named(field: str) -> None:
    error = refused(json.dumps({"rows": [{n: v for n, v in GOOD.items() if n != field}]}).encode())
    assert (error.field, error.cause) == (f"rows[0].{field}", f"rows[0].{field} is missing")


def test_all_that_is_wrong_is_told_at_once() -> None:
    error = refused(json.dumps({**GOOD, "units": "3", "sku": 1}).encode())
    assert {error.field, *(other["field"] for other in error.others)} == {"units", "sku"}


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"{} {}", 400, "not JSON"),
        (b"{'sku': 1}", 400, "not JSON"),
        (b'{"sku": NaN}', 400, "NaN"),
        (b'{"sku": -Infinity}', 400, "Infinity"),
        (b'{"sku": 1, "sku": 2}', 400, "twice"),
        (b'{"rows": [{"sku": 1, "sku": 2}]}', 400, "twice"),
        (b'{"sku": "\xff"}', 400, "UTF-8"),
        (b'\xef\xbb\xbf{"sku": "a"}', 400, "not JSON"),
        ('{"sku": "a"}'.encode("utf-16"), 400, "UTF-8"),
        (b'{"sku": "a\x00"}', 400, "not JSON"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"a":' * 100_000, 400, "nested"),
        (b'{"units": ' + b"1" * 5_000 + b"}", 400, "too long"),
        (b'{"sku": "a", "units": 1, "price": 1e999, "open": true, "at": "2017-03-01T12:00:00Z"}', 422, "finite"),
        (b"[]", 422, "a list"),
        (b"null", 422, "null"),
        (b"3", 422, "a number"),
        (b'"rows"', 422, "a text"),
        (b"{}", 422, "sku is missing"),
        (b'{"rows": []}', 422, "empty"),
        (b'{"rows": {}}', 422, "an object"),
        (b'{"rows": null}', 422, "null"),
        (b'{"rows": [1]}', 422, "rows[0] is 1"),
        (b'{"rows": [null]}', 422, "rows[0] is null"),
        (b'{"rows": [[]]}', 422, "rows[0] is a list"),
        (b'{"rows": [], "sku": 1}', 422, "beside rows"),
        (b'{"rows": [{}], "\\ud800": 1}', 422, "beside rows"),
        (b'{"\\ud800": 1}', 422, "not Unicode"),
        (b'{"rows": [' + b"{}," * ROWS + b"{}]}", 413, f"{ROWS + 1} rows"),
        (b" " * (BYTES + 1), 413, "larger"),
    ],
)
def test_bodies_that_are_not_rows(body: bytes, status: int, what: str) -> None:
    error = refused(body)
    assert error.status == status
    assert what in error.cause


def test_a_column_may_be_called_rows() -> None:
    requests = Requests({"rows": ColumnType("int")})
    assert requests.read(b'{"rows": 3}').rows == [{"rows": 3}]
    assert requests.read(b'{"rows": [{"rows": 3}]}').rows == [{"rows": 3}]


@settings(max_examples=300, deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439), st.sampled_from("Tt"))
def test_moments_are_those_of_the_standard_library(time: datetime, zone: int, t: str) -> None:
    there = time.replace(tzinfo=timezone(timedelta(minutes=zone)))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(there.isoformat().replace("T", t)) == (there - epoch) // timedelta(milliseconds=1)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.from_regex(re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")))
def test_no_text_breaks_moments(text: str) -> None:
    with suppress(PydanticCustomError):
        assert moment(text) >= 0


NAMES = st.text() | st.sampled_from([*COLUMNS, "rows"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
ROW = st.fixed_dictionaries({}, optional={name: JSON | st.just(GOOD.get(name)) for name in COLUMNS})


@settings(max_examples=300, deadline=None)
@given(JSON | ROW | st.fixed_dictionaries({"rows": st.lists(ROW | JSON, max_size=3)}))
def test_any_json_is_read_or_refused(content: Any) -> None:
    refusal: Refusal | None = None
    try:
        asked = read(content)
    except Refusal as error:
        refusal = error
    if refusal is None:
        assert all(set(row) == set(COLUMNS) for row in asked.rows)
    else:
        assert 400 <= refusal.status < 500
        for text in (str(refusal), refusal.field or "", json.dumps(refusal.others)):
            text.encode()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        REQUESTS.read(body)


def test_the_example_is_a_row_and_the_schema_says_so() -> None:
    assert REQUESTS.read(json.dumps(REQUESTS.example()).encode()).rows
    schema = REQUESTS.row_schema()
    assert schema["required"] == ["sku", "units", "price", "open", "at"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["at"]["format"] == "date-time"
