"""Between bytes on the log and Arrow tables: the codec's public names.

Encoding: `encode_block` (what Headrace's own roles write), `encode_framed` and `encode_records` (records in the
wire format of Confluent: a zero byte, the schema's id in four bytes, the record). Decoding: `decode`, which never
lets one bad record spoil another. Times are milliseconds in Avro, and in Arrow `timestamp("ms")` in UTC, no zone.
"""

from headrace.schema.decoding import UNDECODABLE, Decoded, decode, frames
from headrace.schema.encoding import encode_block, encode_framed, encode_records, frame, nullable_schema

__all__ = [
    "UNDECODABLE",
    "Decoded",
    "decode",
    "encode_block",
    "encode_framed",
    "encode_records",
    "frame",
    "frames",
    "nullable_schema",
]
