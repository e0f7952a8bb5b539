"""Typed records: the streams and tables that a user declares as classes."""

from __future__ import annotations

from typing import ClassVar

from headrace.declare.duration import milliseconds, span
from headrace.declare.types import ColumnType, columns_of
from headrace.errors import DeclarationError


def _names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _need(subject: str, option: str, names: tuple[str, ...], columns: dict[str, ColumnType]) -> None:
    for name in names:
        if name not in columns:
            raise DeclarationError(
                subject,
                f"{option}={name!r} is not one of its columns ({', '.join(columns) or 'it has none'})",
                f"declare the column, or name another in {option}=",
            )


class Record:
    """What streams and tables share: a name and typed columns."""

    columns: ClassVar[dict[str, ColumnType]]

    @classmethod
    def title(cls) -> str:
        """The name that decorated functions and topics use: the class name in lower case."""
        return cls.__name__.lower()


class Stream(Record):
    """A stream of events.

    topic: the raw topic. key: the column or columns by which producers partition. time: the column that
    holds the event time. lateness: how long after its event time an event may arrive. skew: how far
    beyond its arrival an event time may lie.

    >>> from headrace.declare.types import Int, Str, Time
    >>> class Sale(Stream, topic="shop.sales", key="sku", time="sold_at", lateness="10m"):
    ...     sku: Str
    ...     units: Int
    ...     sold_at: Time
    >>> Sale.lateness
    600000
    """

    topic: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    time: ClassVar[str]
    lateness: ClassVar[int]
    skew: ClassVar[int]

    def __init_subclass__(
        cls, *, topic: str, key: str | tuple[str, ...], time: str, lateness: str = "1h", skew: str = "1m"
    ) -> None:
        super().__init_subclass__()
        subject = f"stream {cls.__name__}"
        cls.columns = columns_of(cls)
        cls.topic, cls.key, cls.time = topic, _names(key), time
        cls.lateness = milliseconds(lateness, subject)
        cls.skew = milliseconds(skew, subject)
        _need(subject, "key", cls.key, cls.columns)
        _need(subject, "time", (time,), cls.columns)
        if cls.columns[time].kind != "time" or cls.columns[time].nullable:
            raise DeclarationError(
                subject, f"its time column {time!r} is {cls.columns[time]}", f"declare `{time}: Time`"
            )


class Table(Record):
    """A table that is looked up: by the enrichment of a stream, and as attributes of an entity.

    source: "postgresql://...", or a path to a .csv or .parquet file, relative to the project file;
    `name` after a `#` is the table in a database (`postgresql://host/db#suppliers`). key: its primary
    key. refresh: how often it is read again. ttl: an attribute older than this is null.
    valid_from: the column that says since when a row holds, where the table keeps its own history.
    """

    source: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    refresh: ClassVar[int]
    ttl: ClassVar[int | None]
    valid_from: ClassVar[str | None]

    def __init_subclass__(
        cls,
        *,
        source: str,
        key: str | tuple[str, ...],
        refresh: str = "10m",
        ttl: str | None = None,
        valid_from: str | None = None,
    ) -> None:
        super().__init_subclass__()
        subject = f"table {cls.__name__}"
        cls.columns = columns_of(cls)
        cls.source, cls.key, cls.valid_from = source, _names(key), valid_from
        cls.refresh = span(refresh, subject)
        cls.ttl = None if ttl is None else span(ttl, subject)
        _need(subject, "key", cls.key, cls.columns)
        if valid_from is not None:
            _need(subject, "valid_from", (valid_from,), cls.columns)
            if cls.columns[valid_from].kind != "time":
                raise DeclarationError(
                    subject, f"valid_from={valid_from!r} is not a time", f"declare `{valid_from}: Time`"
                )
