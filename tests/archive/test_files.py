"""History files: the same rows from each format, and clear words about what cannot be read."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.archive.files import HistoryFile
from headrace.declare.declaration import StreamDef
from headrace.declare.types import ColumnType
from headrace.errors import SourceError

COLUMNS = {
    "sku": ColumnType("str"),
    "units": ColumnType("int", nullable=True),
    "price": ColumnType("float", nullable=True),
    "gift": ColumnType("bool", nullable=True),
    "at": ColumnType("time"),
}
STREAM = StreamDef("sale", "shop.sales", ("sku",), "at", 0, 0, COLUMNS, (), (), ())
EPOCH = datetime(1970, 1, 1)


def read(path: Path, timezone: str | None = None, rows: int = 1000) -> list[dict[str, Any]]:
    batches = list(HistoryFile(path, STREAM, timezone).batches(rows))
    return [row for batch in batches for row in batch.to_pylist()]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


records = st.fixed_dictionaries(
    {
        "sku": st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
        "units": st.none() | st.integers(-(2**63), 2**63 - 1),
        "price": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "gift": st.none() | st.booleans(),
        "at": st.integers(0, 4_000_000_000_000).map(lambda ms: EPOCH + timedelta(milliseconds=ms)),
    }
)


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else str(value).lower()


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(records, min_size=1, max_size=12))
def test_each_format_gives_the_same_rows(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    lines = [
        ",".join(reversed(COLUMNS)),
        *(",".join(cell(row[name]) for name in reversed(COLUMNS)) for row in rows),
    ]
    written = write(folder / "sales.csv", "\n".join(lines) + "\n")
    assert read(written, rows=5) == rows
    with gzip.open(folder / "sales.csv.gz", "wt", encoding="utf-8", newline="") as file:
        file.write("\n".join(lines) + "\n")
    assert read(folder / "sales.csv.gz") == rows
    dicts = [{**row, "at": row["at"].isoformat() + "+00:00", "other": 1} for row in rows]
    assert read(write(folder / "sales.jsonl", "".join(json.dumps(row) + "\n" for row in dicts))) == rows
    table = pa.table(
        {name: [row[name] for row in rows] for name in COLUMNS}, schema=schema(pa.timestamp("ms", "UTC"))
    )
    pq.write_table(table, folder / "sales.parquet")
    assert read(folder / "sales.parquet", rows=5) == rows
    assert HistoryFile(folder / "sales.parquet", STREAM).count() == len(rows)


def schema(time: pa.DataType) -> pa.Schema:
    return pa.schema([(name, time if name == "at" else kind.arrow) for name, kind in COLUMNS.items()])


LINE = "a,1,2.5,true,"


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2017-07-01T12:00:00Z", None, datetime(2017, 7, 1, 12)),
        ("2017-07-01 12:00:00.123456+02:00", None, datetime(2017, 7, 1, 10, 0, 0, 123000)),
        ("2017-07-01T12:00:00-0530", None, datetime(2017, 7, 1, 17, 30)),
        ("2017-07-01T12:00:00", "UTC", datetime(2017, 7, 1, 12)),
        ("2017-07-01", "UTC", datetime(2017, 7, 1)),
        ("2017-07-01T12:00:00", "Europe/Berlin", datetime(2017, 7, 1, 10)),
        ("2017-12-01T12:00:00Z", "Europe/Berlin", datetime(2017, 12, 1, 12)),
    ],
)
def test_times_and_zones(text: str, zone: str | None, expected: datetime, tmp_path: Path) -> None:
    path = write(tmp_path / "sales.csv", f"{','.join(COLUMNS)}\n{LINE}{text}\n")
    assert read(path, zone)[0]["at"] == expected
    path = write(tmp_path / "sales.ndjson", json.dumps({"sku": "a", "at": text}) + "\n")
    assert read(path, zone)[0]["at"] == expected


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 12), ("Europe/Berlin", 10)])
def test_parquet_times_without_a_zone_need_one(zone: str, hour: int, tmp_path: Path) -> None:
    row = {"sku": "a", "units": 1, "price": None, "gift": None, "at": datetime(2017, 7, 1, 12)}
    pq.write_table(pa.Table.from_pylist([row], schema(pa.timestamp("us"))), tmp_path / "sales.parquet")
    with pytest.raises(SourceError, match="column at has times without a time zone"):
        read(tmp_path / "sales.parquet")
    assert read(tmp_path / "sales.parquet", zone)[0]["at"] == datetime(2017, 7, 1, hour)


GOOD = f"{LINE}2017-07-01T12:00:00Z\n"
BAD_CSV = [
    (f"{GOOD}a,1.5,,,2017-07-01T12:00:00Z\n", r"row 1, column units: '1.5' is not of type Null\[Int\]"),
    (f"{GOOD * 3}a,1,many,,2017-07-01T12:00:00Z\n", r"row 3, column price: 'many' is not of type"),
    (f"{GOOD}a,1,1,yes,2017-07-01T12:00:00Z\n", "row 1, column gift: 'yes'"),
    (f"{GOOD}a,99999999999999999999,1,true,2017-07-01T12:00:00Z\n", "row 1, column units: '9999"),
    (f"{GOOD}{LINE}2017-07-01T12:00:00\n", "row 1, column at: '2017-07-01T12:00:00' is a time without a time zone"),
    (f"{GOOD}{LINE}2017-13-01T12:00:00Z\n", "row 1, column at: '2017-13-01T12:00:00Z' is not of type Time"),
    (f"{GOOD}{LINE}yesterday\n", "row 1, column at: 'yesterday' is not of type Time"),
    (f"{GOOD}a,1,2\n", "it cannot be read as csv: .*Line: 3"),
    (f"{GOOD}{LINE}2017-07-01T12:00:00Z,more\n", "it cannot be read as csv: .*Line: 3"),
]


@pytest.mark.parametrize(("rows", "words"), BAD_CSV)
def test_a_bad_csv_is_refused_by_file_row_and_column(rows: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "sales.csv", f"{','.join(COLUMNS)}\n{rows}")
    with pytest.raises(SourceError, match=f"history file .*sales.csv: {words}"):
        read(path, rows=2)


BAD_JSON = [
    ('{"sku": "a", "units": "7", "at": "2017-07-01T12:00:00Z"}', "row 1, column units: '\"7\"' is not of type"),
    ('{"sku": 7, "at": "2017-07-01T12:00:00Z"}', "row 1, column sku: '7' is not of type Str"),
    ('{"sku": "a", "gift": "true", "at": "2017-07-01T12:00:00Z"}', "row 1, column gift"),
    ('{"sku": "a", "units": 1.5, "at": "2017-07-01T12:00:00Z"}', "row 1, column units: '1.5'"),
    ('{"sku": "a", "at": 1498910400000}', "row 1, column at: '1498910400000' is not of type Time"),
    ('{"sku": "a", ', "it cannot be read as json: .*Malformed JSON"),
]


@pytest.mark.parametrize(("line", "words"), BAD_JSON)
def test_a_bad_json_is_refused_by_file_row_and_column(line: str, words: str, tmp_path: Path) -> None:
    good = '{"sku": "a", "units": 1, "at": "2017-07-01T12:00:00Z"}'
    path = write(tmp_path / "sales.jsonl", f"{good}\n{line}\n")
    with pytest.raises(SourceError, match=f"history file .*sales.jsonl: {words}"):
        read(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(SourceError, match="cannot be opened"):
        _ = HistoryFile(tmp_path / "none.csv", STREAM).id
    with pytest.raises(SourceError, match="its name does not tell its format"):
        read(write(tmp_path / "sales.xlsx", "a"))
    with pytest.raises(SourceError, match="cannot be read as parquet"):
        read(write(tmp_path / "sales.parquet", "a"))
    with pytest.raises(SourceError, match=r"it has no column price, at \(it has sku, units, gift\)"):
        read(write(tmp_path / "sales.csv", "sku,units,gift\n"))
    with pytest.raises(SourceError, match="two of its columns have one name"):
        read(write(tmp_path / "sales.csv", "sku,units,price,gift,at,at\n"))
    with pytest.raises(SourceError, match="'Mars' is not a time zone"):
        read(write(tmp_path / "sales.csv", f"{','.join(COLUMNS)}\n{GOOD}"), "Mars")
    pq.write_table(pa.table({name: [1] for name in COLUMNS}), tmp_path / "sales.parquet")
    with pytest.raises(SourceError, match="column sku is BIGINT, and the stream declares Str"):
        read(tmp_path / "sales.parquet")


def test_a_semicolon_and_a_byte_order_mark_are_no_trouble(tmp_path: Path) -> None:
    path = write(tmp_path / "sales.csv", "\ufeff" + ";".join(COLUMNS) + "\n" + GOOD.replace(",", ";"))
    at = datetime(2017, 7, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    assert read(path) == [{"sku": "a", "units": 1, "price": 2.5, "gift": True, "at": at}]
