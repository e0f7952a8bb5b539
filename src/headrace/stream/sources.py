"""Where tables come from: CSV and Parquet files, and PostgreSQL; read whole, in declared types."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from headrace.compile.duckdb import TYPES
from headrace.declare.declaration import TableDef
from headrace.declare.keys import quoted
from headrace.declare.types import ColumnType
from headrace.errors import MissingExtra, SourceError
from headrace.stream.columns import Misfit, column_from, column_of, keys_of

_WHOLE: Final = r"\s*[+-]?\d+(\.0*)?\s*"


def read_source(table: TableDef, root: Path) -> pa.Table:
    """The rows of a table now, one a key: its declared columns, then `_key` (key text).

    root: the folder that relative paths refer to. SourceError names table, column and row (counted from 1, without
    the header of a file); MissingExtra where PostgreSQL's client is not installed.
    """
    scheme = table.source.partition("://")[0]
    if scheme in ("postgresql", "postgres"):
        rows = _from_postgres(table)
    elif table.source.endswith((".csv", ".parquet")):
        rows = _from_file(table, root / table.source)
    else:
        raise SourceError(
            f"table {table.title}",
            f"its source {table.source!r} is neither a .csv or .parquet file nor a postgresql:// address",
            "name one of these",
        )
    return _keyed(table, rows)


def _from_file(table: TableDef, path: Path) -> pa.Table:
    if not path.is_file():
        raise SourceError(
            f"table {table.title}", f"there is no file {path.name} where {table.source!r} says", "put it there"
        )
    place = "'" + str(path).replace("'", "''") + "'"
    csv = path.suffix == ".csv"
    reader = f"read_csv({place}, header = true, all_varchar = true)" if csv else f"read_parquet({place})"
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
            given = {name: kind for name, kind, *_ in described}
            for name in table.columns:
                if name not in given:
                    raise _error(table, name, None, "the file has no such column")
            columns = [
                f"{_cast(quoted(name), kind, given[name])} AS {quoted(name)}, "
                f"{quoted(name)}::VARCHAR AS {quoted('_given_' + name)}"
                for name, kind in table.columns.items()
            ]
            found: Any = connection.sql(f"SELECT {', '.join(columns)} FROM {reader}").to_arrow_table()
        except duckdb.Error as error:
            cause = f"{path.name} cannot be read: {str(error).splitlines()[0]}"
            raise SourceError(f"table {table.title}", cause, "correct the file") from error
    columns_found = {}
    for name, kind in table.columns.items():
        column, before = found.column(name).combine_chunks(), found.column("_given_" + name).combine_chunks()
        lost = _flags(before.is_valid()) & ~_flags(column.is_valid())
        if lost.any():
            row = int(np.flatnonzero(lost)[0])
            raise _error(table, name, row, f"it is {before[row].as_py()!r}, and the column is {kind}")
        columns_found[name] = _fitted(table, name, lambda kind=kind, column=column: column_from(column, kind))
    return pa.table(columns_found)


def _cast(name: str, kind: ColumnType, given: str) -> str:
    """A column in its type, null where it does not fit."""
    cast = f"TRY_CAST({name} AS {TYPES[kind.kind]})"
    if kind.kind == "int" and given == "VARCHAR":
        return f"CASE WHEN regexp_full_match({name}, '{_WHOLE}') THEN {cast} END"
    if kind.kind == "int" and given.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return f"CASE WHEN {name} = {cast} THEN {cast} END"
    return cast


def _from_postgres(table: TableDef) -> pa.Table:
    address, _, name = table.source.partition("#")
    subject = f"table {table.title}"
    if not name:
        raise SourceError(subject, f"{table.source!r} names no table of the database", "write its name after a '#'")
    try:
        import psycopg
        from psycopg import sql
    except ImportError as error:
        raise MissingExtra(subject, "psycopg", "postgres") from error
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in table.columns)
    query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(*name.split(".")))
    try:
        with psycopg.connect(address, connect_timeout=10) as connection:
            rows = connection.execute(query).fetchall()
    except psycopg.Error as error:
        cause = f"{name} cannot be read: {str(error).strip().splitlines()[0]}"
        raise SourceError(
            subject, cause, "see that the server answers and the table has the declared columns"
        ) from error
    values: Sequence[tuple[Any, ...]] = list(zip(*rows, strict=True)) or [()] * len(table.columns)
    return pa.table(
        {
            column: _fitted(
                table, column, lambda kind=kind, given=given: column_of([_plain(v) for v in given], kind)
            )
            for (column, kind), given in zip(table.columns.items(), values, strict=True)
        }
    )


def _plain(value: Any) -> Any:
    """A number of the database's numeric type as int or float."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _keyed(table: TableDef, rows: pa.Table) -> pa.Table:
    keys = keys_of(rows, table.key)
    name = ", ".join(table.key)
    if keys.null_count:
        raise _error(table, name, int(np.flatnonzero(_flags(keys.is_null()))[0]), "the key is null")
    encoded = keys.dictionary_encode()
    if len(encoded.dictionary) < len(keys):
        places = encoded.indices.to_numpy()
        _, first = np.unique(places, return_index=True)
        again = np.ones(len(places), np.bool_)
        again[first] = False
        row = int(np.flatnonzero(again)[0])
        raise _error(table, name, row, f"the key {keys[row].as_py()!r} stands in an earlier row too")
    return rows.append_column("_key", keys)


def _fitted(table: TableDef, column: str, convert: Any) -> pa.Array:
    try:
        return convert()
    except Misfit as misfit:
        raise _error(table, column, misfit.row, misfit.cause) from None


def _flags(column: pa.Array) -> Any:
    return column.to_numpy(zero_copy_only=False)


def _error(table: TableDef, column: str, row: int | None, cause: str) -> SourceError:
    place = "" if row is None else f", row {row + 1}"
    subject = f"table {table.title}, column {column}{place}"
    return SourceError(
        subject, cause, f"correct {table.source.partition('#')[2] or table.source}, or the declaration"
    )
