"""History files: Parquet, CSV and JSON lines as tables of a stream's declared types, strictly.

A value that is not of its column's type stops the reading, with the file, the row (from 0) and the column. Text is
never guessed: what a number, a truth value and a time look like is the same as everywhere else in Headrace. A time
carries its zone (`2017-07-01T12:00:00Z`), or the user names the zone of all times that carry none.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
import pyarrow as pa

from headrace.compile.duckdb import TYPES
from headrace.compile.sql import FLOAT_TEXT, INT_TEXT
from headrace.declare.declaration import StreamDef
from headrace.declare.keys import quoted
from headrace.declare.types import ColumnType, Kind
from headrace.errors import SourceError

_FORMATS: Final[dict[str, Literal["parquet", "csv", "json"]]] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
}
_ZONED: Final = r".*([Zz]|[0-9][+-][0-9]{2}(:?[0-9]{2})?)"
_LOOKS: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}.*"
_JSON: Final[dict[Kind, str]] = {
    "str": "'VARCHAR'", "int": "'BIGINT', 'UBIGINT'", "float": "'BIGINT', 'UBIGINT', 'DOUBLE'",
    "bool": "'BOOLEAN'", "time": "'VARCHAR'",
}  # fmt: skip
_PARQUET: Final[dict[Kind, tuple[str, ...]]] = {
    "str": ("VARCHAR",),
    "int": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    "float": ("FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"),
    "bool": ("BOOLEAN",),
    "time": (
        "TIMESTAMP WITH TIME ZONE",
        "TIMESTAMP",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "TIMESTAMPTZ_NS",
    ),
}


@dataclass(frozen=True)
class HistoryFile:
    """One file of a stream's history. timezone: of times that carry no zone; None refuses them.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "sales.csv"
    >>> _ = path.write_text("sku,units,at\\na,3,1970-01-01T00:00:01Z\\n")
    >>> columns = {"sku": ColumnType("str"), "units": ColumnType("int"), "at": ColumnType("time")}
    >>> stream = StreamDef("sale", "shop.sales", ("sku",), "at", 0, 0, columns, (), (), ())
    >>> [batch.to_pylist() for batch in HistoryFile(path, stream).batches(rows=1000)]
    [[{'sku': 'a', 'units': 3, 'at': datetime.datetime(1970, 1, 1, 0, 0, 1)}]]
    """

    path: Path
    stream: StreamDef
    timezone: str | None = None

    @cached_property
    def id(self) -> str:
        """The first 16 hex digits of its sha256."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        except OSError as error:
            raise self._error(f"it cannot be opened: {error.strerror}", "name a file that exists") from error

    def count(self) -> int:
        """How many rows it has."""
        return int(self._run(f"SELECT count(*) FROM {self._source}").fetchall()[0][0])

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The stream's columns, at most so many rows at a time, in the file's order."""
        columns = {name: self._column(name, kind) for name, kind in self.stream.columns.items()}
        wrong = " ".join(
            f"WHEN {found} IS NOT NULL AND {value} IS NULL THEN {_text(name)}"
            for name, (value, found) in columns.items()
        )
        texts = " ".join(
            f"WHEN {found} IS NOT NULL AND {value} IS NULL THEN {found}::VARCHAR"
            for value, found in columns.values()
        )
        values = ", ".join(f"{value} AS {quoted(name)}" for name, (value, _) in columns.items())
        sql = f"SELECT {values}, CASE {wrong} END AS _wrong, CASE {texts} END AS _found FROM {self._source}"
        done = 0
        try:
            for batch in self._run(sql).to_arrow_reader(rows):
                table = pa.Table.from_batches([batch])
                if table["_wrong"].null_count < len(table):
                    raise self._misfit(table, done)
                done += len(table)
                yield table.drop_columns(["_wrong", "_found"])
        except (duckdb.Error, OSError) as error:
            raise self._unreadable(error) from error

    # The file as a relation

    @cached_property
    def _format(self) -> Literal["parquet", "csv", "json"]:
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        if suffixes and suffixes[-1] == ".gz":
            suffixes.pop()
        found = _FORMATS.get(suffixes[-1]) if suffixes else None
        if found is None:
            raise self._error(
                "its name does not tell its format", f"name it {', '.join(_FORMATS)} (or CSV, JSON as .gz)"
            )
        return found

    @cached_property
    def _source(self) -> str:
        """The file as DuckDB reads it: every declared column as text, as JSON or in its own type."""
        if not self.path.is_file():
            raise self._error("there is no such file", "name a file that exists")
        path = _text(str(self.path))
        match self._format:
            case "parquet":
                return f"read_parquet({path})"
            case "json":
                columns = ", ".join(f"{_text(name)}: 'JSON'" for name in self.stream.columns)
                return f"read_json({path}, format='newline_delimited', columns={{{columns}}})"
            case "csv":
                delimiter, names = self._header()
                self._need(names)
                columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
                return (
                    f"read_csv({path}, auto_detect=false, header=true, columns={{{columns}}}, "
                    f"delim={_text(delimiter)}, "
                    "quote='\"', escape='\"', nullstr='', allow_quoted_nulls=false, strict_mode=true)"
                )

    def _header(self) -> tuple[str, list[str]]:
        opened: Any = gzip.open if self.path.suffix.lower() == ".gz" else open
        try:
            with opened(self.path, "rt", encoding="utf-8-sig", newline="") as file:
                line = file.readline()
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(f"its first line cannot be read: {error}", "save it as UTF-8") from error
        candidates = {sign: next(csv.reader([line], delimiter=sign), []) for sign in (",", ";", "\t", "|")}
        return max(candidates.items(), key=lambda found: len(set(found[1]) & set(self.stream.columns)))

    def _need(self, names: list[str]) -> None:
        missing = [name for name in self.stream.columns if name not in names]
        if missing:
            raise self._error(
                f"it has no column {', '.join(missing)} (it has {', '.join(names)})", "add or rename the column"
            )
        if len(set(names)) < len(names):
            raise self._error("two of its columns have one name", "rename one")

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The DuckDB types of a Parquet file's columns."""
        found = {row[0]: str(row[1]) for row in self._run(f"DESCRIBE SELECT * FROM {self._source}").fetchall()}
        self._need(list(found))
        return found

    # Values

    def _column(self, name: str, kind: ColumnType) -> tuple[str, str]:
        """SQL of a column's value, null where it does not fit its type; and SQL of what stands in the file."""
        column = quoted(name)
        match self._format:
            case "csv":
                return self._of_text(column, kind.kind), column
            case "json":
                text = f"CASE WHEN json_type({column}) IN ({_JSON[kind.kind]}) THEN {column} ->> '$' END"
                value = f"({text})" if kind.kind == "str" else self._of_text(f"({text})", kind.kind)
                return value, f"CASE WHEN json_type({column}) <> 'NULL' THEN {column} END"
            case "parquet":
                return self._of_parquet(name, column, kind), column

    def _of_parquet(self, name: str, column: str, kind: ColumnType) -> str:
        found = self._kinds[name]
        if found not in _PARQUET[kind.kind]:
            raise self._error(
                f"column {name} is {found}, and the stream declares {kind}",
                "convert the column, or declare it otherwise",
            )
        if kind.kind != "time":
            return f"TRY_CAST({column} AS {TYPES[kind.kind]})"
        if found in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
            return f"({column}::TIMESTAMPTZ AT TIME ZONE 'UTC')::TIMESTAMP_MS"
        if self._zone is None:
            raise self._naive(f"column {name} has times")
        return self._in_zone(f"{column}::TIMESTAMP")

    def _of_text(self, text: str, kind: Kind) -> str:
        match kind:
            case "str":
                return text
            case "int":
                return f"CASE WHEN regexp_full_match({text}, {_text(INT_TEXT)}) THEN TRY_CAST({text} AS BIGINT) END"
            case "float":
                return (
                    f"CASE WHEN regexp_full_match({text}, {_text(FLOAT_TEXT)}) THEN TRY_CAST({text} AS DOUBLE) END"
                )
            case "bool":
                return f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END"
            case "time":
                zoned = f"(TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')::TIMESTAMP_MS"
                naive = "NULL" if self._zone is None else self._in_zone(f"TRY_CAST({text} AS TIMESTAMP)")
                return f"CASE WHEN regexp_full_match({text}, {_text(_ZONED)}) THEN {zoned} ELSE {naive} END"

    def _in_zone(self, time: str) -> str:
        if self._zone == "UTC":
            return f"({time})::TIMESTAMP_MS"
        return f"((({time}) AT TIME ZONE {_text(self._zone or '')}) AT TIME ZONE 'UTC')::TIMESTAMP_MS"

    @cached_property
    def _zone(self) -> str | None:
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise self._error(
                    f"{self.timezone!r} is not a time zone", "name one such as Europe/Berlin"
                ) from error
        return self.timezone

    # What goes wrong

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _run(self, sql: str) -> Any:
        try:
            return self._connection.sql(sql)
        except duckdb.Error as error:
            raise self._unreadable(error) from error

    def _misfit(self, table: pa.Table, done: int) -> SourceError:
        row, found = next((at, row) for at, row in enumerate(table["_wrong"].to_pylist()) if row is not None)
        text = table["_found"][row].as_py()
        kind = self.stream.columns[found]
        where = f"row {done + row}, column {found}"
        if kind.kind == "time" and self._zone is None and _matches(_LOOKS, text) and not _matches(_ZONED, text):
            return self._naive(f"{where}: {text!r} is a time")
        return self._error(
            f"{where}: {text!r} is not of type {kind}",
            "correct the row (rows count from 0), or declare it otherwise",
        )

    def _naive(self, what: str) -> SourceError:
        return self._error(
            f"{what} without a time zone",
            "write times with Z or an offset, or say which zone they are in (timezone='UTC')",
        )

    def _unreadable(self, error: Exception) -> SourceError:
        line = str(error).strip().splitlines()[0]
        return self._error(f"it cannot be read as {self._format}: {line}", "repair the file")

    def _error(self, cause: str, remedy: str) -> SourceError:
        return SourceError(f"history file {self.path}", cause, remedy)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None
