"""One hard input for `hard.py`: what stands on the raw topic, partition by partition, the same for every engine."""

from __future__ import annotations

import io
import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import fastavro

PARTITIONS: Final = 6
START: Final = 1_700_000_000_000
TIME: Final = {"type": "long", "logicalType": "timestamp-millis"}
NULL_TIME: Final = ["null", TIME]
OLD: Final = {
    "type": "record",
    "name": "sale",
    "fields": [
        {"name": "sku", "type": ["null", "string"], "default": None},
        {"name": "units", "type": "int"},
        {"name": "cost", "type": ["null", "float"], "default": None},
        {"name": "gift", "type": ["null", "boolean"], "default": None},
        {"name": "sold_at", "type": TIME},
    ],
}
"""Version 1: fewer fields, `price` under its old name, narrower numbers."""
NEW: Final = {
    "type": "record",
    "name": "sale",
    "fields": [
        {"name": "sku", "type": ["null", "string"], "default": None},
        {"name": "country", "type": ["null", "string"], "default": None},
        {"name": "zone", "type": ["null", "long"], "default": None},
        {"name": "units", "type": "long"},
        {"name": "price", "type": ["null", "double"], "default": None, "aliases": ["cost"]},
        {"name": "gift", "type": ["null", "boolean"], "default": None},
        {"name": "seen_at", "type": NULL_TIME, "default": None},
        {"name": "sold_at", "type": TIME},
    ],
}
"""Version 2: what the project declares, with an alias."""
SUPPLIERS: Final = """sku,supplier,lead,weight,since
apple,Obst AG,3,0.5,2023-01-01T00:00:00Z
birne,,5,,
ñandú,Füße & Söhne,9,1e300,2020-02-29T12:00:00.123Z
"""
REGIONS: Final = """country,zone,name
ch,1,Zürich
ch,2,Genève
de,1,Berlin|Mitte
"""


@dataclass(frozen=True)
class Raw:
    """A record of the raw topic. schema: 1 or 2, the version that it is written with; None: value has no frame."""

    partition: int
    key: bytes | None
    payload: bytes | None
    schema: int | None
    arrival: int
    headers: dict[str, bytes] = field(default_factory=dict)

    def value(self, ids: dict[int, int]) -> bytes | None:
        """The bytes, framed with the schema's id in a registry."""
        if self.payload is None or self.schema is None:
            return self.payload
        return struct.pack(">BI", 0, ids[self.schema]) + self.payload


def written(record: dict[str, Any], schema: int) -> bytes:
    """The record's bytes; times are ms, so that one may lie anywhere."""
    plain: Any = {**(OLD if schema == 1 else NEW)}
    plain["fields"] = [{**each, "type": _plain(each["type"])} for each in plain["fields"]]
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(plain), record)
    return file.getvalue()


def _plain(kind: Any) -> Any:
    return "long" if kind == TIME else ["null", "long"] if kind == NULL_TIME else kind


def hard_input(topic: str, count: int, seed: int = 1) -> tuple[list[Raw], list[Raw]]:
    """`count` records, as surprising as they can be, and what repairs some of their dead letters."""
    pick = random.Random(seed)
    records = list(_records(count, pick))
    return records, list(_repairs(topic, records, pick))


def _records(count: int, pick: random.Random) -> Iterator[Raw]:
    now = START
    for _ in range(count):
        now += pick.choice([0, 0, 1, 7, 40, 250])
        record = _record(pick, now)
        headers: dict[str, bytes] = {}
        match pick.random():
            case chance if chance < 0.03:
                record["sold_at"] = now - 60_001 - pick.randrange(10**6)
            case chance if chance < 0.05:
                record["sold_at"], record["units"] = now - 3_600_000, -(10**15)  # late and invalid at once
            case chance if chance < 0.08:
                record["sold_at"] = now + 5_001 + pick.randrange(10**5)
            case chance if chance < 0.09:
                record["sold_at"] = pick.choice([-1, -(2**62), 253_402_300_800_000, 2**62])
            case chance if chance < 0.10:
                bad = [b"", b"hard.sales/1", b"other/1/2", b"\xff/'\\\n/1/x", b"x" * 300]
                headers["headrace-repairs"] = pick.choice(bad)
        schema = 1 if pick.random() < 0.3 else 2
        payload: bytes | None = written(_older(record) if schema == 1 else record, schema)
        version: int | None = schema
        if pick.random() < 0.06:
            payload, version = spoilt(pick, payload or b"", schema)
        key = None if pick.random() < 0.05 else (record["sku"] or "").encode()
        raw = Raw(pick.randrange(PARTITIONS), key, payload, version, now, headers)
        yield from [raw] * (2 if pick.random() < 0.03 else 1)


def _older(record: dict[str, Any]) -> dict[str, Any]:
    """A record as version 1 can hold it."""
    cost = record["price"]
    if cost is not None and math.isfinite(cost):
        cost = max(min(cost, 3e38), -3e38)
    return {**record, "cost": cost, "units": max(min(record["units"], 2**31 - 1), -(2**31))}


def _repairs(topic: str, records: list[Raw], pick: random.Random) -> Iterator[Raw]:
    """For letters that came too late: the record again, once, twice or much later, in its partition."""
    offsets = [0] * PARTITIONS
    now = records[-1].arrival
    for raw in records:
        offset, offsets[raw.partition] = offsets[raw.partition], offsets[raw.partition] + 1
        if raw.schema is None or raw.headers or pick.random() > 0.9:
            continue
        time = _sold_at(raw)
        if time is None or raw.arrival <= time + 60_000 or time < 0:
            continue
        for _ in range(pick.choice([1, 1, 2])):
            now += pick.choice([1, 1_000, 3_600_000])
            header = f"{topic}/{raw.partition}/{offset}".encode()
            yield Raw(raw.partition, raw.key, raw.payload, raw.schema, now, {"headrace-repairs": header})


def _sold_at(raw: Raw) -> int | None:
    """The event time of a record, None where it cannot be read."""
    schema: Any = {**(OLD if raw.schema == 1 else NEW)}
    schema["fields"] = [{**each, "type": _plain(each["type"])} for each in schema["fields"]]
    try:
        found: Any = fastavro.schemaless_reader(io.BytesIO(raw.payload or b""), fastavro.parse_schema(schema), None)
    except (EOFError, IndexError, ValueError, UnicodeDecodeError, struct.error):
        return None
    return int(found["sold_at"])


def _record(pick: random.Random, now: int) -> dict[str, Any]:
    units = pick.choice(
        [pick.randrange(-9, 10), pick.randrange(10**6), 0, 1, 101, 10**9, 3_037_000_500, 2**62, -(2**63), 807, 808]
        if pick.random() < 0.3
        else [pick.randrange(1, 20)]
    )
    return {
        "sku": pick.choice(["apple", "birne", "ñandú", "kiwi|\\x", "", None, "😀é", "straße", "apple", "apple"]),
        "country": pick.choice(["ch", "de", None, "fr"]),
        "zone": pick.choice([1, 2, None, 2**63 - 1]),
        "units": units,
        "price": pick.choice(
            [
                1.5,
                0.0,
                -0.0,
                1e9 + pick.random(),
                1e100,
                5e-324,
                math.nan,
                math.inf,
                None,
                pick.random(),
                -3.0,
                2.675,
            ]
        ),
        "gift": pick.choice([True, False, None]),
        "seen_at": pick.choice([None, now, 0, 253_402_300_799_999, now - 1]) if pick.random() < 0.99 else -5,
        "sold_at": now - pick.choice([0, 0, 0, 1, 500, 9_999, 59_999, 60_000, -4_000, -5_000]),
    }


def spoilt(pick: random.Random, payload: bytes, schema: int) -> tuple[bytes | None, int | None]:
    """Bytes that are no record, and whether they still carry the frame."""
    match pick.randrange(8):
        case 0:
            return payload[: pick.randrange(len(payload))], schema
        case 1:
            return payload + b"\x00", schema
        case 2:
            return None, None
        case 3:
            return b"", None
        case 4:
            return b"\x01" + payload, None
        case 5:
            return struct.pack(">BI", 0, 2_000_000_000) + payload, None
        case 6:
            return b"\x02\x06\xff\xfe\xfd" + payload, schema
        case _:
            return b"\x04" + payload[1:], schema
