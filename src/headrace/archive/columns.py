"""What each archived topic holds: the columns of docs/architecture.md, by topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from headrace.declare.declaration import Declaration
from headrace.declare.predictions import prediction_columns
from headrace.declare.topics import Topics
from headrace.declare.types import ColumnType
from headrace.stream.layouts import change_columns, enriched_columns

Columns = Mapping[str, ColumnType]

LOG_PARTITION: Final = "_log_partition"
LOG_OFFSET: Final = "_log_offset"
"""A row's place in the topic that it was archived from; null for history, which never was in one."""


def archived(declaration: Declaration) -> dict[str, Columns]:
    """The columns of each topic that is archived, in the order of their schemas: enriched, changes, predictions."""
    topics = Topics.of(declaration)
    return {
        **{topics.enriched(title): enriched_columns(stream) for title, stream in declaration.streams.items()},
        **{topics.table(title): change_columns(table) for title, table in declaration.tables.items()},
        topics.predictions: prediction_columns(declaration),
    }


def arrow(columns: Columns) -> pa.Schema:
    """The columns of an archived topic's table: those of the topic, and each row's place in it."""
    fields = [pa.field(name, kind.arrow) for name, kind in columns.items()]
    return pa.schema([*fields, pa.field(LOG_PARTITION, pa.int64()), pa.field(LOG_OFFSET, pa.int64())])


def schemas(declaration: Declaration) -> dict[str, pa.Schema]:
    """What `Archive` needs to know of a project: the columns of each archived topic.

    >>> import tempfile
    >>> from headrace.archive.delta import Archive
    >>> archive = Archive(tempfile.mkdtemp(), {"sales": arrow({"sku": ColumnType("str")})})
    >>> archive.read("sales").column_names
    ['sku', '_log_partition', '_log_offset']
    """
    return {topic: arrow(columns) for topic, columns in archived(declaration).items()}
