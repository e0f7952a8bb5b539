"""What most people write for the same work: a PyFlink DataStream job of Python functions with keyed state.

It runs in an environment with apache-flink and fastavro, which is not Headrace's. See benchmarks/flink.py.
"""

import csv
import io
import json
import struct
import sys

import fastavro
from pyflink.common import Types, WatermarkStrategy
from pyflink.common.serialization import ByteArraySchema
from pyflink.datastream import CheckpointingMode, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.functions import KeyedProcessFunction, MapFunction
from pyflink.datastream.state import ValueStateDescriptor

SETTINGS = json.loads(sys.argv[-1])
WRITTEN = {
    "type": "record",
    "name": "enriched",
    "fields": [
        {"name": "store_id", "type": "long"},
        {"name": "product_id", "type": "long"},
        {"name": "household_id", "type": "long"},
        {"name": "units", "type": "long"},
        {"name": "price", "type": "double"},
        {"name": "sold_at", "type": "long"},
        {"name": "category", "type": "string"},
        {"name": "region", "type": "string"},
        {"name": "revenue", "type": "double"},
    ],
}


class Enrich(MapFunction):
    """Decodes, checks and joins one record: a kind, its bytes, and what the tiles need of it."""

    def open(self, context):
        schema = json.loads(json.dumps(SETTINGS["schema"]))
        for field in schema["fields"]:
            if isinstance(field["type"], dict):
                field["type"] = field["type"]["type"]
        self.reader, self.writer = fastavro.parse_schema(schema), fastavro.parse_schema(WRITTEN)
        with open(SETTINGS["data"] + "/stores.csv") as file:
            self.regions = {int(row["store_id"]): row["region"] for row in csv.DictReader(file)}
        with open(SETTINGS["data"] + "/products.csv") as file:
            self.categories = {int(row["product_id"]): row["category"] for row in csv.DictReader(file)}

    def map(self, value):
        try:
            record = fastavro.schemaless_reader(io.BytesIO(value[5:]), self.reader, None)
        except (EOFError, IndexError, ValueError):
            return "dead", value, "", "", 0, 0, 0.0, 0.0
        if not (1 <= record["units"] <= 1000 and record["price"] >= 0):
            return "dead", value, "", "", 0, 0, 0.0, 0.0
        record["category"] = self.categories.get(record["product_id"]) or "OTHER"
        record["region"] = self.regions.get(record["store_id"]) or "unknown"
        record["revenue"] = record["units"] * record["price"]
        file = io.BytesIO()
        fastavro.schemaless_writer(file, self.writer, record)
        return (
            "enriched", struct.pack(">BI", 0, 1) + file.getvalue(), record["category"], record["region"],
            record["store_id"], record["sold_at"], float(record["units"]), record["price"],
        )  # fmt: skip


class Tile(KeyedProcessFunction):
    """The absolute partial of one key and hop: count, sums, the newest event time."""

    def open(self, context):
        self.state = context.get_state(ValueStateDescriptor("tile", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, row, context):
        key, at, units, price = row
        n, total, prices, newest = self.state.value() or (0, 0.0, 0.0, 0)
        found = n + 1, total + units, prices + price, max(newest, at)
        self.state.update(found)
        yield f"{key}|{found}".encode()


def sink(topic, guarantee):
    schema = KafkaRecordSerializationSchema.builder().set_topic(topic)
    schema = schema.set_value_serialization_schema(ByteArraySchema()).build()
    built = KafkaSink.builder().set_bootstrap_servers(SETTINGS["servers"]).set_record_serializer(schema)
    built = built.set_delivery_guarantee(guarantee).set_property("transaction.timeout.ms", "900000")
    return built.set_transactional_id_prefix(topic).build()


environment = StreamExecutionEnvironment.get_execution_environment()
environment.enable_checkpointing(500, CheckpointingMode.EXACTLY_ONCE)
topic, hop = SETTINGS["topic"], SETTINGS["hop"]
source = (
    KafkaSource.builder()
    .set_bootstrap_servers(SETTINGS["servers"])
    .set_topics(topic)
    .set_group_id(topic + ".py")
    .set_property("isolation.level", "read_committed")
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_value_only_deserializer(ByteArraySchema())
    .build()
)
row = Types.TUPLE(
    [
        Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.STRING(), Types.STRING(), Types.LONG(),
        Types.LONG(), Types.DOUBLE(), Types.DOUBLE(),
    ]
)  # fmt: skip
judged = environment.from_source(source, WatermarkStrategy.no_watermarks(), "raw").map(Enrich(), row)
payload = Types.PRIMITIVE_ARRAY(Types.BYTE())
for kind in ("enriched", "dead"):
    chosen = judged.filter(lambda found, kind=kind: found[0] == kind).map(lambda found: found[1], payload)
    chosen.sink_to(sink(f"{topic}.py.{kind}", DeliveryGuarantee.EXACTLY_ONCE))
partial = Types.TUPLE([Types.STRING(), Types.LONG(), Types.DOUBLE(), Types.DOUBLE()])
keys = {
    "here": lambda found: f"here|{found[2]}|{found[4]}|{found[5] // hop}",
    "region": lambda found: f"region|{found[2]}|{found[3]}|{found[5] // hop}",
    "store": lambda found: f"store|{found[4]}|{found[5] // hop}",
}
good = judged.filter(lambda found: found[0] == "enriched")
for key in keys.values():
    rows = good.map(lambda found, key=key: (key(found), found[5], found[6], found[7]), partial)
    tiles = rows.key_by(lambda found: found[0]).process(Tile(), payload)
    tiles.sink_to(sink(f"{topic}.py.tiles", DeliveryGuarantee.AT_LEAST_ONCE))
environment.execute("pyflink " + topic)
