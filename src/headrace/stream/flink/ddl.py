"""Flink's DDL as text: tables, views, functions, and the job that inserts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.compile.sql import quoted as text


@dataclass(frozen=True, slots=True)
class Insert:
    """One INSERT of a job, and the object of the declaration that it computes (for errors)."""

    subject: str
    sql: str


@dataclass(frozen=True, slots=True)
class Job:
    """A whole job: statements that describe its tables, and what it inserts. settings: Flink's own."""

    name: str
    statements: tuple[str, ...]
    inserts: tuple[Insert, ...]
    settings: Mapping[str, str]

    @property
    def statement_set(self) -> str:
        """What runs as one job."""
        return "EXECUTE STATEMENT SET\nBEGIN\n" + "\n".join(f"{i.sql};" for i in self.inserts) + "\nEND"

    @property
    def script(self) -> str:
        """The job as a script for Flink's SQL client."""
        settings = [f"SET {text(name)} = {text(value)}" for name, value in self.settings.items()]
        return "".join(f"{each};\n\n" for each in (*settings, *self.statements, self.statement_set))


def name(column: str) -> str:
    """A quoted identifier.

    >>> name("a`b")
    '`a``b`'
    """
    return "`" + column.replace("`", "``") + "`"


def table(title: str, columns: Mapping[str, str], options: Mapping[str, str], key: Sequence[str] = ()) -> str:
    """A temporary table. columns: what follows each name. key: of an upsert or a lookup.

    >>> print(table("t", {"a": "BIGINT"}, {"connector": "kafka"}, ["a"]))
    CREATE TEMPORARY TABLE `t` (
      `a` BIGINT,
      PRIMARY KEY (`a`) NOT ENFORCED
    ) WITH (
      'connector' = 'kafka'
    )
    """
    lines = [f"{name(column)} {kind}" for column, kind in columns.items()]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(map(name, key))}) NOT ENFORCED")
    given = [f"{text(option)} = {text(value)}" for option, value in options.items()]
    return (
        f"CREATE TEMPORARY TABLE {name(title)} (\n  " + ",\n  ".join(lines) + "\n) WITH (\n  "
        + ",\n  ".join(given) + "\n)"
    )  # fmt: skip


def view(title: str, query: str) -> str:
    """A temporary view."""
    return f"CREATE TEMPORARY VIEW {name(title)} AS\n{query}"
