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


def hard_input(count: int, seed: int = 1) -> list[Raw]:
    """`count` records and about as many surprises as they can hold."""
    return list(_records(count, random.Random(seed)))


def _records(count: int, pick: random.Random) -> Iterator[Raw]:
    offsets = [0] * PARTITIONS
    late: list[tuple[int, int, dict[str, Any]]] = []
    now = START
    for _ in range(count):
        now += pick.choice([0, 0, 1, 7, 40, 250])
        partition = pick.randrange(PARTITIONS)
        record = _record(pick, now)
        schema = 1 if pick.random() < 0.3 else 2
        headers: dict[str, bytes] = {}
        arrival = now
        match pick.random():
            case chance if chance < 0.03:
                record["sold_at"] = now - 60_001 - pick.randrange(10**6)
                late.append((partition, offsets[partition], record))
            case chance if chance < 0.05:
                record["sold_at"], record["units"] = now - 3_600_000, -(10**15)  # late and invalid at once
            case chance if chance < 0.08:
                record["sold_at"] = now + 5_001 + pick.randrange(10**5)
            case chance if chance < 0.09:
                record["sold_at"] = pick.choice([-1, -(2**62), 253_402_300_800_000, 2**62])
            case chance if chance < 0.12 and late:
                where, offset, record = pick.choice(late)
                headers["headrace-repairs"] = f"hard.sales/{where}/{offset}".encode()
                schema = 2
            case chance if chance < 0.13:
                headers["headrace-repairs"] = pick.choice([b"", b"hard.sales/1", b"other/1/2", b"\xff/'\\\n/1/x"])
        payload: bytes | None
        if schema == 1:
            record = {**record, "cost": record["price"], "units": max(min(record["units"], 2**31 - 1), -(2**31))}
            if record["cost"] is not None:
                record["cost"] = (
                    max(min(record["cost"], 3e38), -3e38) if math.isfinite(record["cost"]) else record["cost"]
                )
        payload = written(record, schema)
        version: int | None = schema
        if pick.random() < 0.06:
            payload, version = _spoilt(pick, payload, schema)
        key = None if pick.random() < 0.05 else (record["sku"] or "").encode()
        copies = 2 if pick.random() < 0.03 else 1
        for _ in range(copies):
            yield Raw(partition, key, payload, version, arrival, headers)
            offsets[partition] += 1


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
                1e308,
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


def _spoilt(pick: random.Random, payload: bytes, schema: int) -> tuple[bytes | None, int | None]:
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
