"""The job that enriches one project's streams: checks to dead letters, lookups, derived columns.

Every record passes one chain once, so that nothing is looked up twice: received (its times, and the place of the
dead letter that it repairs), judged (why its times or checks refuse it, if they do), joined, derived; then it
leaves through one sink, hence in one transaction, to the enriched topic or to the dead letters. Records that repair
a dead letter have a chain of their own, at whose end they count once. A record is refused for the reasons and in
the order of `stream.edges` and `stream.enrichment`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from headrace.compile.flink import TYPES, expression, overflow
from headrace.compile.sql import quoted as text
from headrace.declare.declaration import Declaration, StreamDef, TableDef
from headrace.declare.duration import duration_text
from headrace.declare.instant import LATEST
from headrace.declare.topics import Topics
from headrace.stream.enrichment import BEYOND
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import Insert, Job, name, table, view
from headrace.stream.flink.functions import FUNCTIONS
from headrace.stream.flink.readers import Reader
from headrace.stream.layouts import enriched_columns
from headrace.stream.letters import DETAIL, REASON
from headrace.stream.repairs import DEAD_ID, HEADER

ROLE: Final = "enrich"
ARRIVAL: Final = "headrace-arrival"
MARK: Final = "headrace-mark"
_ROWS: Final = "100000"
"""Rows of a joined table that a subtask keeps."""


def enrich_job(
    declaration: Declaration, cluster: Cluster, readers: Mapping[str, Reader], cuts: Mapping[str, int]
) -> Job:
    """The job of all streams. readers, cuts: by stream title; up to a cut (ms) history came from files."""
    topics = Topics.of(declaration)
    statements = [*FUNCTIONS]
    joined = {join.table.title: join.table for stream in declaration.streams.values() for join in stream.joins}
    statements += [_lookup(table, topics, cluster) for table in joined.values()]
    inserts: list[Insert] = []
    for title, stream in declaration.streams.items():
        channel = _Channel(stream, topics, cluster, readers[title], cuts.get(title))
        statements += channel.statements()
        inserts.append(channel.insert())
    settings = {
        "pipeline.name": f"headrace {declaration.name} enrich",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "table.exec.sink.not-null-enforcer": "ERROR",
    }
    return Job(settings["pipeline.name"], tuple(statements), tuple(inserts), settings)


class _Channel:
    """One stream's part of the job."""

    def __init__(
        self, stream: StreamDef, topics: Topics, cluster: Cluster, reader: Reader, cut: int | None
    ) -> None:
        self._stream, self._topics, self._cluster, self._reader, self._cut = stream, topics, cluster, reader, cut
        self._times = [column for column, kind in stream.columns.items() if kind.kind == "time"]

    def _title(self, step: str) -> str:
        return f"{step}_{self._stream.title}"

    def statements(self) -> Iterator[str]:
        """Tables and views."""
        yield self._raw()
        yield view(self._title("received"), self._received())
        yield view(self._title("fresh"), self._chain("NOT `_repaired`"))
        yield view(self._title("repaired"), self._chain("`_repaired`"))
        yield self._sink()

    def insert(self) -> Insert:
        """Enriched records and dead letters; of those that repair one letter only the first that passes."""
        columns = ", ".join(map(name, self._written()))
        once = "`_partition`, `_offset`, CASE WHEN `_dead` THEN `_place` END, CASE WHEN `_dead` THEN `_at` END"
        order = f"ROW_NUMBER() OVER (PARTITION BY {once} ORDER BY `_proc`) AS `_row`"
        return Insert(
            f"stream {self._stream.title}",
            f"INSERT INTO {name(self._title('sink'))}\n"
            f"SELECT {columns} FROM {name(self._title('fresh'))}\nUNION ALL\n"
            f"SELECT {columns} FROM (SELECT *, {order} FROM {name(self._title('repaired'))}) WHERE `_row` = 1",
        )

    def _raw(self) -> str:
        types = {**TYPES, "time": "BIGINT"}  # as they came: whether they are in range is an edge's to say
        columns = {column: types[kind.kind] for column, kind in self._stream.columns.items()} | {
            "_value": "BYTES",
            "_error": "STRING",
            "_key": "BYTES",
            "_from": "INT METADATA FROM 'partition' VIRTUAL",
            "_at": "BIGINT METADATA FROM 'offset' VIRTUAL",
            "_stamp": "TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
            "_headers": "MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL",
            "_proc": "AS PROCTIME()",
        }
        options = {
            "connector": "kafka",
            "topic": self._stream.topic,
            **self._cluster.properties,
            "properties.group.id": self._cluster.named(ROLE),
            "properties.isolation.level": "read_committed",
            "properties.auto.offset.reset": "earliest",
            "scan.startup.mode": "group-offsets",
            "key.format": "raw",
            "key.fields": "_key",
            "value.fields-include": "EXCEPT_KEY",
            "value.format": "headrace-avro",
            "value.headrace-avro.url": self._cluster.registry,
            "value.headrace-avro.schema": json.dumps(self._reader.raw),
        }
        return table(self._title("raw"), columns, options)

    def _received(self) -> str:
        columns = []
        for column in self._stream.columns:
            found = name(column)
            if column in self._times:
                found = f"{_time(found)} AS {found}, {found} AS {name('_ms_' + column)}"
            columns.append(found)
        columns += [
            "`_value`", "`_error`", "`_key`", "CAST(`_from` AS BIGINT) AS `_place`", "`_at`", "`_proc`",
            "hr_arrival(`_headers`, `_stamp`) AS `_arrival`",
            f"hr_repair(`_headers`, {text(self._stream.topic)}) AS `_repair`",
        ]  # fmt: skip
        marks = f"`_headers`[{text(MARK)}] IS NULL"
        source = (
            f"SELECT {', '.join(columns)}\n  FROM {name(self._title('raw'))} WHERE `_headers` IS NULL OR {marks}"
        )
        return (
            "SELECT *, COALESCE(`_repair`.`partition`, `_place`) AS `_partition`, "
            "COALESCE(`_repair`.`offset`, `_at`) AS `_offset`, `_repair`.`partition` IS NOT NULL AS `_repaired`\n"
            f"FROM ({source})"
        )

    def _chain(self, which: str) -> str:
        """What becomes of the received records that meet a condition, with the columns that are written."""
        judged = f"SELECT *, {self._judgement()}\n  FROM {name(self._title('received'))} WHERE {which}"
        joined = self._joined(judged)
        columns = [
            f"{expression(column.expression, column.name)} AS {name(column.name)}"
            for column in self._stream.derived
        ]
        over = [(column, overflow(column.expression, column.name)) for column in self._stream.derived]
        whens = [
            f"WHEN {condition} THEN {text(column.name)}" for column, condition in over if condition is not None
        ]
        failed = (
            f"CASE WHEN `_reason` IS NULL THEN CASE {' '.join(whens)} END END" if whens else "CAST(NULL AS STRING)"
        )
        given = [*map(name, self._stream.columns), name("_ms_" + self._stream.time)]
        kept = [
            "`_value`", "`_key`", "`_place`", "`_at`", "`_proc`", "`_arrival`", "`_partition`", "`_offset`",
            "`_reason`", "`_detail`",
        ]  # fmt: skip
        derived = f"SELECT {', '.join([*given, *kept, *columns])},\n  {failed} AS `_failed`\nFROM ({joined})"
        event = name("_ms_" + self._stream.time)
        dead = "(`_reason` IS NOT NULL OR `_failed` IS NOT NULL)"
        enriched, letters = self._topics.enriched(self._stream.title), self._topics.dead(self._stream.title)
        system = [
            f"CASE WHEN {event} < `_arrival` THEN {event} ELSE `_arrival` END AS `_time`",
            "CAST(NULL AS STRING) AS `_file`",
            f"{dead} AS `_dead`",
            f"CASE WHEN {dead} THEN {text(letters)} ELSE {text(enriched)} END AS `topic`",
            f"CASE WHEN {dead} THEN {self._headers()} END AS `headers`",
        ]
        return f"SELECT *, {', '.join(system)}\nFROM ({derived})"

    def _judgement(self) -> str:
        """Why a record is refused before it is joined, and a sentence about it; null where it is not."""
        reasons, details = [], []
        for condition, reason, detail in self._edges():
            reasons.append(f"WHEN {condition} THEN {text(reason)}")
            details.append(f"WHEN {condition} THEN {detail}")
        for check in self._stream.checks:
            rule, over = expression(check.expression, check.name), overflow(check.expression, check.name)
            if over is not None:
                reasons.append(f"WHEN {over} THEN {text('check:' + check.name)}")
                details.append(f"WHEN {over} THEN {text(BEYOND)}")
            reasons.append(f"WHEN ({rule}) IS NOT TRUE THEN {text('check:' + check.name)}")
            null, false = (text(f"the rule {check.name} is {value}") for value in ("null", "false"))
            details.append(f"WHEN ({rule}) IS NULL THEN {null} WHEN NOT ({rule}) THEN {false}")
        between = "\n    "
        return f"CASE {between.join(reasons)} END AS `_reason`,\n  CASE {between.join(details)} END AS `_detail`"

    def _edges(self) -> Iterator[tuple[str, str, str]]:
        """Condition, reason and detail (SQL), in the order in which they decide."""
        stream = self._stream
        time, event = stream.time, name("_ms_" + stream.time)
        yield "`_error` IS NOT NULL", "undecodable", "`_error`"
        after = text(", not the id of a dead letter")
        yield (
            "`_repair`.`malformed` IS NOT NULL",
            "undecodable",
            f"{text(f'the header {HEADER} is ')} || `_repair`.`malformed` || {after}",
        )
        for column in [time, *(each for each in self._times if each != time)]:
            value = name("_ms_" + column)
            outside = text(" ms, not in 1970 to 9999")
            detail = f"{text(column + ' is ')} || CAST({value} AS STRING) || {outside}"
            yield f"{value} < 0 OR {value} > {LATEST}", "future", detail
        gap = f"hr_duration(ABS(`_arrival` - {event}))"
        skew, lateness = duration_text(stream.skew), duration_text(stream.lateness)
        after = text(f" after its arrival, more than a skew of {skew}")
        yield f"{event} > `_arrival` + {stream.skew}", "future", f"{text(time + ' lies ')} || {gap} || {after}"
        after = text(f" after {time}, more than a lateness of {lateness}")
        late = f"`_arrival` > {event} + {stream.lateness} AND NOT `_repaired`"
        yield late, "late", f"'it arrived ' || {gap} || {after}"
        if self._cut is not None:
            counts = text(", and the live stream counts from ")
            detail = f"{text(time + ' is ')} || hr_iso({event}) || {counts} || hr_iso({self._cut}) || ' on'"
            yield f"{event} < {self._cut}", "covered", detail

    def _joined(self, judged: str) -> str:
        columns, joins = ["r.*"], []
        for join in self._stream.joins:
            alias = name("_" + join.table.title)
            columns += [
                f"{alias}.{name(column)} AS {name(join.table.column(column))}" for column in join.table.columns
            ]
            on = " AND ".join(
                f"r.{name(column)} = {alias}.{name(key)}"
                for column, key in zip(join.on, join.table.key, strict=True)
            )
            lookup = name(f"lookup_{join.table.title}")
            joins.append(f"\n  LEFT JOIN {lookup} FOR SYSTEM_TIME AS OF r.`_proc` AS {alias} ON {on}")
        return f"SELECT {', '.join(columns)}\n  FROM ({judged}) AS r{''.join(joins)}"

    def _headers(self) -> str:
        """A dead letter's headers: its id, why it is one, and when the record arrived."""
        place = "CAST(`_partition` AS STRING) || '/' || CAST(`_offset` AS STRING)"
        headers = {
            DEAD_ID: f"{text(self._stream.topic + '/')} || {place}",
            REASON: "COALESCE(`_reason`, 'check:' || `_failed`)",
            DETAIL: f"COALESCE(`_detail`, {text(BEYOND)})",
            ARRIVAL: "CAST(`_arrival` AS STRING)",
        }
        pairs = ", ".join(f"{text(header)}, ENCODE({value}, 'UTF-8')" for header, value in headers.items())
        return f"MAP[{pairs}]"

    def _written(self) -> list[str]:
        """The columns of the sink; the first is the partition that it writes to."""
        enriched = enriched_columns(self._stream)
        return ["_place", "_key", "_value", "_dead", *enriched, "topic", "headers"]

    def _sink(self) -> str:
        own = {
            "_place": "BIGINT", "_key": "BYTES", "_value": "BYTES", "_dead": "BOOLEAN NOT NULL",
            "topic": "STRING NOT NULL METADATA", "headers": "MAP<STRING, BYTES> METADATA",
        }  # fmt: skip
        types = {column: TYPES[kind.kind] for column, kind in enriched_columns(self._stream).items()}
        enriched, letters = self._topics.enriched(self._stream.title), self._topics.dead(self._stream.title)
        options = {
            "connector": "kafka",
            "topic": f"{enriched};{letters}",
            **self._cluster.properties,
            "properties.transaction.timeout.ms": str(self._cluster.outage),
            "sink.delivery-guarantee": "exactly-once",
            "sink.transactional-id-prefix": self._cluster.named(f"headrace.{enriched}"),
            # Few names for transactions, used again: else each checkpoint has one, which a start must go through.
            "sink.transaction-naming-strategy": "POOLING",
            "sink.partitioner": "io.headrace.flink.ByPartition",
            "key.format": "raw",
            "key.fields": "_key",
            "value.fields-include": "EXCEPT_KEY",
            "value.format": "headrace-enriched",
            "value.headrace-enriched.schema": json.dumps(self._reader.enriched),
            "value.headrace-enriched.schema-id": str(self._reader.enriched_id),
        }
        return table(self._title("sink"), {column: (own | types)[column] for column in self._written()}, options)


def _time(ms: str) -> str:
    """A time of ms, null outside of 1970 to 9999 (such a record is refused)."""
    return f"CASE WHEN {ms} BETWEEN 0 AND {LATEST} THEN CAST(TO_TIMESTAMP_LTZ({ms}, 3) AS TIMESTAMP(3)) END"


def _lookup(found: TableDef, topics: Topics, cluster: Cluster) -> str:
    """A joined table as its mirror in PostgreSQL has it."""
    columns = {column: TYPES[kind.kind] for column, kind in found.columns.items()}
    address = urlsplit(cluster.lookup)
    options = {
        "connector": "jdbc",
        "url": f"jdbc:postgresql://{address.hostname}:{address.port or 5432}{address.path}",
        "username": unquote(address.username or ""),
        "password": unquote(address.password or ""),
        "table-name": f"{SCHEMA}.{mirror_name(topics.table(found.title))}",
        "lookup.cache": "PARTIAL",
        "lookup.partial-cache.max-rows": _ROWS,
        "lookup.partial-cache.expire-after-write": f"{found.refresh} ms",
        "lookup.max-retries": "3",
    }
    return table(f"lookup_{found.title}", columns, options, found.key)


SCHEMA: Final = "headrace"
"""The schema of PostgreSQL that holds mirrors of tables."""


def mirror_name(topic: str) -> str:
    """The name of a table's mirror.

    >>> mirror_name("demand.table.store")
    'demand_table_store'
    """
    return topic.replace(".", "_").replace("-", "_")
