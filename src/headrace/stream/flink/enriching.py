"""The job that enriches one project's streams: checks to dead letters, lookups, derived columns.

For each stream the views follow one another: `received` (times and the place of a repaired record), `judged` (why
it is refused by its times and checks, if it is), `joined` (the tables' columns), `derived`. A record is refused
for the reasons and in the order of `stream.edges` and `stream.enrichment`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from headrace.compile.flink import expression, overflow
from headrace.compile.sql import quoted as text
from headrace.declare.declaration import Declaration, StreamDef, TableDef
from headrace.declare.duration import duration_text
from headrace.declare.topics import Topics
from headrace.schema.contract import AvroSchema
from headrace.stream.edges import LATEST
from headrace.stream.enrichment import enriched_columns
from headrace.stream.flink.cluster import Cluster
from headrace.stream.flink.ddl import TYPES, Insert, Job, name, table, view
from headrace.stream.flink.functions import FUNCTIONS
from headrace.stream.letters import DETAIL, ID, REASON
from headrace.stream.repairs import HEADER

ROLE: Final = "enrich"
_ROWS: Final = "100000"
"""Rows of a joined table that a subtask keeps."""


@dataclass(frozen=True)
class Reader:
    """What is registered for one stream: the schema that raw records are read with, the enriched one and its id."""

    raw: AvroSchema
    enriched: AvroSchema
    enriched_id: int


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
        inserts += channel.inserts()
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
        self._columns = [name(column) for column in stream.columns]
        over = {column.name: overflow(column.expression, column.name) for column in stream.derived}
        self._over = {column: condition for column, condition in over.items() if condition is not None}

    def _title(self, step: str) -> str:
        return f"{step}_{self._stream.title}"

    def statements(self) -> Iterator[str]:
        """Tables and views."""
        yield self._raw()
        yield view(self._title("received"), self._received())
        yield view(self._title("judged"), self._judged())
        yield view(self._title("joined"), self._joined())
        yield view(self._title("derived"), self._derived())
        yield self._enriched()
        yield self._dead()

    def inserts(self) -> Iterator[Insert]:
        """Enriched records, those that repair a dead letter only once; dead letters before and after the joins."""
        subject = f"stream {self._stream.title}"
        derived, good = name(self._title("derived")), "WHERE `_failed` IS NULL"
        columns = ", ".join(["`_place`", "`_key`", *map(name, enriched_columns(self._stream))])
        order = "ROW_NUMBER() OVER (PARTITION BY `_partition`, `_offset` ORDER BY `_proc`) AS `_row`"
        repaired = f"SELECT *, {order} FROM {derived} {good} AND `_repaired`"
        yield Insert(
            subject,
            f"INSERT INTO {name(self._title('enriched'))}\n"
            f"SELECT {columns} FROM {derived} {good} AND NOT `_repaired`\nUNION ALL\n"
            f"SELECT {columns} FROM ({repaired}) WHERE `_row` = 1",
        )
        refused = f"{name(self._title('judged'))} WHERE `_reason` IS NOT NULL"
        dead = f"SELECT {self._letter('`_reason`', '`_detail`')}\nFROM {refused}"
        if self._over:
            letter = self._letter("'check:' || `_failed`", "'it leaves 64 bits'")
            dead += f"\nUNION ALL\nSELECT {letter}\nFROM {derived} WHERE `_failed` IS NOT NULL"
        yield Insert(subject, f"INSERT INTO {name(self._title('dead'))}\n{dead}")

    def _raw(self) -> str:
        kinds = {
            column: "BIGINT" if kind.kind == "time" else TYPES[kind.kind]
            for column, kind in self._stream.columns.items()
        }
        columns = kinds | {
            "_value": "BYTES",
            "_error": "STRING",
            "_key": "BYTES",
            "_place": "INT METADATA FROM 'partition' VIRTUAL",
            "_at": "BIGINT METADATA FROM 'offset' VIRTUAL",
            "_stamp": "TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
            "_headers": "MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL",
            "_proc": "AS PROCTIME()",
        }
        options = {
            "connector": "kafka",
            "topic": self._stream.topic,
            **self._cluster.properties,
            "properties.group.id": ROLE,
            "properties.isolation.level": "read_committed",
            "scan.startup.mode": "group-offsets",
            "properties.auto.offset.reset": "earliest",
            "scan.topic-partition-discovery.interval": "10 s",
            "key.format": "raw",
            "key.fields": "_key",
            "value.fields-include": "EXCEPT_KEY",
            "value.format": "headrace-avro",
            "value.headrace-avro.url": self._cluster.registry,
            "value.headrace-avro.schema": json.dumps(self._reader.raw),
        }
        return table(self._title("raw"), columns, options)

    def _received(self) -> str:
        """Times as such, arrival, and of a repaired record the place of its dead letter."""
        columns = []
        for column in self._stream.columns:
            found = name(column)
            if column in self._times:
                found = f"{_time(found)} AS {found}, {found} AS {name('_ms_' + column)}"
            columns.append(found)
        columns += [
            "`_value`", "`_error`", "`_key`", "`_place`", "`_at`", "`_proc`",
            "hr_arrival(`_headers`, `_stamp`) AS `_arrival`",
            f"hr_repair(`_headers`, {text(self._stream.topic)}) AS `_repair`",
        ]  # fmt: skip
        marks = "`_headers`['headrace-mark'] IS NULL"
        source = f"SELECT {', '.join(columns)} FROM {name(self._title('raw'))} WHERE `_headers` IS NULL OR {marks}"
        place = (
            "COALESCE(`_repair`.`partition`, CAST(`_place` AS BIGINT)) AS `_partition`, "
            "COALESCE(`_repair`.`offset`, `_at`) AS `_offset`, `_repair`.`partition` IS NOT NULL AS `_repaired`"
        )
        return f"SELECT *, {place} FROM ({source})"

    def _judged(self) -> str:
        reasons, details = [], []
        for condition, reason, detail in self._edges():
            reasons.append(f"WHEN {condition} THEN {text(reason)}")
            details.append(f"WHEN {condition} THEN {detail}")
        for check in self._stream.checks:
            rule, over = expression(check.expression, check.name), overflow(check.expression, check.name)
            if over is not None:
                reasons.append(f"WHEN {over} THEN {text('check:' + check.name)}")
                details.append(f"WHEN {over} THEN 'it leaves 64 bits'")
            reasons.append(f"WHEN ({rule}) IS NOT TRUE THEN {text('check:' + check.name)}")
            null, false = (text(f"the rule {check.name} is {value}") for value in ("null", "false"))
            details.append(f"WHEN ({rule}) IS NULL THEN {null} WHEN NOT ({rule}) THEN {false}")
        newline = "\n    "
        return (
            f"SELECT *,\n  CASE {newline.join(reasons)} END AS `_reason`,\n"
            f"  CASE {newline.join(details)} END AS `_detail`\nFROM {name(self._title('received'))}"
        )

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

    def _joined(self) -> str:
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
            joins.append(f"\nLEFT JOIN {lookup} FOR SYSTEM_TIME AS OF r.`_proc` AS {alias} ON {on}")
        good = f"(SELECT * FROM {name(self._title('judged'))} WHERE `_reason` IS NULL) AS r"
        return f"SELECT {', '.join(columns)} FROM {good}{''.join(joins)}"

    def _derived(self) -> str:
        kept = [*self._columns, "`_value`", "`_key`", "`_place`", "`_proc`", "`_repaired`"]
        found = [
            f"{expression(column.expression, column.name)} AS {name(column.name)}"
            for column in self._stream.derived
        ]
        whens = " ".join(f"WHEN {condition} THEN {text(column)}" for column, condition in self._over.items())
        failed = f"CASE {whens} END" if whens else "CAST(NULL AS STRING)"
        event = name("_ms_" + self._stream.time)
        system = [
            f"CASE WHEN {event} < `_arrival` THEN {event} ELSE `_arrival` END AS `_time`",
            "`_arrival`", "CAST(NULL AS STRING) AS `_file`", "`_partition`", "`_offset`", f"{failed} AS `_failed`",
        ]  # fmt: skip
        return f"SELECT {', '.join([*kept, *found, *system])}\nFROM {name(self._title('joined'))}"

    def _enriched(self) -> str:
        columns = {column: TYPES[kind.kind] for column, kind in enriched_columns(self._stream).items()}
        options = self._sink("enriched", self._topics.enriched(self._stream.title)) | {
            "key.format": "raw",
            "key.fields": "_key",
            "value.fields-include": "EXCEPT_KEY",
            "value.format": "headrace-avro",
            "value.headrace-avro.url": self._cluster.registry,
            "value.headrace-avro.schema": json.dumps(self._reader.enriched),
            "value.headrace-avro.schema-id": str(self._reader.enriched_id),
        }
        return table(self._title("enriched"), {"_place": "INT", "_key": "BYTES", **columns}, options)

    def _dead(self) -> str:
        columns = {"_place": "INT", "_key": "BYTES", "value": "BYTES", "headers": "MAP<STRING, BYTES> METADATA"}
        options = self._sink("dead", self._topics.dead(self._stream.title)) | {
            "key.format": "raw",
            "key.fields": "_key",
            "value.fields-include": "EXCEPT_KEY",
            "value.format": "headrace-bytes",
        }
        return table(self._title("dead"), columns, options)

    def _sink(self, step: str, topic: str) -> dict[str, str]:
        return {
            "connector": "kafka",
            "topic": topic,
            **self._cluster.properties,
            "properties.transaction.timeout.ms": str(self._cluster.outage),
            "sink.delivery-guarantee": "exactly-once",
            "sink.transactional-id-prefix": f"headrace.{topic}",
            "sink.partitioner": "io.headrace.flink.ByPartition",
        }

    def _letter(self, reason: str, detail: str) -> str:
        """A dead letter: its place, key and bytes, and headers that tell its id, why, and when it arrived."""
        identity = (
            f"{text(self._stream.topic + '/')} || CAST(`_partition` AS STRING) || '/' || CAST(`_offset` AS STRING)"
        )
        headers = {ID: identity, REASON: reason, DETAIL: detail, "headrace-arrival": "CAST(`_arrival` AS STRING)"}
        pairs = ", ".join(f"{text(header)}, ENCODE({value}, 'UTF-8')" for header, value in headers.items())
        return f"`_place`, `_key`, `_value`, MAP[{pairs}]"


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
