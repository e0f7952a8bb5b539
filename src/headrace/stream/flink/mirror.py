"""Joined tables in PostgreSQL, where a Flink job looks rows up: the newest rows that topics of changes give.

So both engines join with the same rows: the role `tables` alone reads the outside world.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from headrace.declare.declaration import Declaration, TableDef
from headrace.declare.keys import quoted
from headrace.declare.topics import Topics
from headrace.errors import LogError, MissingExtra, SourceError
from headrace.log.batches import Batch, Mark, Positions
from headrace.schema.avro import decode, nullable_schema
from headrace.schema.contract import Schemas
from headrace.stream.flink.enriching import SCHEMA, mirror_name
from headrace.stream.layouts import change_columns

try:
    import psycopg
except ImportError as error:  # the adapter is imported only where a profile names Flink
    raise MissingExtra("the engine on Flink", "psycopg", "flink") from error

_TYPES: Final = {
    "str": "text",
    "int": "bigint",
    "float": "double precision",
    "bool": "boolean",
    "time": "timestamp(3)",
}


class Mirror:
    """A sink (`log.consumer.Sink`) for the topics of the tables that a project's streams are joined with."""

    def __init__(self, declaration: Declaration, schemas: Schemas, address: str) -> None:
        topics = Topics.of(declaration)
        joined = {join.table.title: join.table for stream in declaration.streams.values() for join in stream.joins}
        self._schemas = schemas
        self._address = address
        self._tables = {topics.table(title): table for title, table in joined.items()}
        self._connection = self._connect()
        with self._connection.transaction():
            self._prepare()

    @property
    def topics(self) -> list[str]:
        return list(self._tables)

    def close(self) -> None:
        self._connection.close()

    def position(self) -> Positions:
        rows = self._execute(
            f"SELECT topic, partition, place FROM {SCHEMA}.positions WHERE topic = ANY(%s)", [self.topics]
        )
        return {(topic, partition): place for topic, partition, place in rows}

    def mark(self) -> int | None:
        return None

    def apply(self, batches: Sequence[Batch], positions: Positions, mark: int | None) -> None:
        by_topic: dict[str, list[Batch]] = defaultdict(list)
        for batch in batches:
            if not isinstance(batch.content, Mark):
                by_topic[batch.topic].append(batch)
        with self._connection.transaction():
            for topic, found in by_topic.items():
                self._apply(topic, self._tables[topic], found)
            places = [(topic, partition, place) for (topic, partition), place in positions.items()]
            statement = (
                f"INSERT INTO {SCHEMA}.positions VALUES (%s, %s, %s) "
                "ON CONFLICT (topic, partition) DO UPDATE SET place = excluded.place"
            )
            with self._connection.cursor() as cursor:
                cursor.executemany(statement, places)

    def _apply(self, topic: str, table: TableDef, batches: Sequence[Batch]) -> None:
        columns = change_columns(table)
        found = decode(batches, self._schemas, nullable_schema(topic, columns), columns)
        if found.undecodable.num_rows:
            raise LogError(f"topic {topic}", "a change cannot be decoded", "see that only Headrace writes to it")
        names, key = list(table.columns), [quoted(name) for name in table.key]
        others = [quoted(name) for name in names if name not in table.key]
        then = f"UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in others)}" if others else "NOTHING"
        place = f"{SCHEMA}.{quoted(mirror_name(topic))}"
        put = (
            f"INSERT INTO {place} ({', '.join(map(quoted, names))}) VALUES ({', '.join(['%s'] * len(names))}) "
            f"ON CONFLICT ({', '.join(key)}) DO {then}"
        )
        drop = f"DELETE FROM {place} WHERE {' AND '.join(f'{name} = %s' for name in key)}"
        with self._connection.cursor() as cursor:
            for deleted, rows in _runs(found.table.to_pylist()):
                wanted = table.key if deleted else names
                cursor.executemany(drop if deleted else put, [[row[name] for name in wanted] for row in rows])

    def _prepare(self) -> None:
        self._execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.positions (topic text, partition int, place bigint NOT NULL, "
            "PRIMARY KEY (topic, partition))"
        )
        for topic, table in self._tables.items():
            columns = [f"{quoted(name)} {_TYPES[kind.kind]}" for name, kind in table.columns.items()]
            key = ", ".join(quoted(name) for name in table.key)
            place = f"{SCHEMA}.{quoted(mirror_name(topic))}"
            wanted = {name: _TYPES[kind.kind] for name, kind in table.columns.items()}
            if self._changed(mirror_name(topic), set(wanted)):
                self._execute(f"DROP TABLE {place}")
                self._execute(f"DELETE FROM {SCHEMA}.positions WHERE topic = %s", [topic])
            self._execute(f"CREATE TABLE IF NOT EXISTS {place} ({', '.join(columns)}, PRIMARY KEY ({key}))")

    def _changed(self, table: str, columns: set[str]) -> bool:
        """Whether the mirror is of an earlier declaration: it is then filled anew."""
        rows = self._execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            [SCHEMA, table],
        )
        return bool(rows) and {name for (name,) in rows} != columns

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def _connect(self) -> Any:
        try:
            return psycopg.connect(self._address, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise SourceError(
                "the lookup database",
                f"it cannot be reached: {str(error).strip()}",
                "see that PostgreSQL runs, and `lookup`",
            ) from error


def _runs(rows: Sequence[dict[str, Any]]) -> list[tuple[bool, list[dict[str, Any]]]]:
    """Changes in their order, in runs of rows that are put and rows that are dropped."""
    runs: list[tuple[bool, list[dict[str, Any]]]] = []
    for row in rows:
        if not runs or runs[-1][0] != bool(row["_deleted"]):
            runs.append((bool(row["_deleted"]), []))
        runs[-1][1].append(row)
    return runs
