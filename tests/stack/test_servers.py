"""The whole stack, for real: what the cluster profile counts on."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from headrace.stack import Stack
from headrace.stack.flink import SLOTS
from headrace.stack.server import NotReady
from headrace.stack.servers import SERVERS
from headrace.stack.web import get, get_json, send_json

pytestmark = [pytest.mark.timeout(600), pytest.mark.faults]
AVRO = json.dumps({"type": "record", "name": "Sale", "fields": [{"name": "sku", "type": "string"}]})
MORE = json.dumps(
    {"type": "record", "name": "Sale", "fields": [{"name": "sku", "type": "string"}, {"name": "n", "type": "int"}]}
)


@pytest.fixture(scope="module")
def whole(stack: Stack) -> Stack:
    stack.start()
    return stack


def until(ask: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"never saw {what}")


def test_every_server_is_healthy(whole: Stack) -> None:
    assert {row.name: row.problem for row in whole.status()} == dict.fromkeys(SERVERS)


def test_the_profile_says_where(whole: Stack) -> None:
    cluster = tomllib.loads(whole.profile.read_text())["profiles"]["cluster"]
    assert cluster["log"] == f"kafka:{whole.address('kafka')}"
    assert cluster["engine"] == f"flink:{whole.address('gateway')}"


def create(stack: Stack, topic: str) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": stack.address("kafka")})
    admin.create_topics([NewTopic(topic, -1, -1)])[topic].result()
    return admin


def test_a_topic_is_replicated_and_stamped_by_the_log(whole: Stack) -> None:
    admin = create(whole, "stack.defaults")
    partitions = admin.list_topics("stack.defaults").topics["stack.defaults"].partitions
    assert [sorted(partition.replicas) for partition in partitions.values()] == [[1, 2, 3]] * 6
    resource = ConfigResource(ResourceType.TOPIC, "stack.defaults")
    settings = admin.describe_configs([resource])[resource].result()
    assert settings["min.insync.replicas"].value == "2"
    assert settings["message.timestamp.type"].value == "LogAppendTime"
    assert settings["unclean.leader.election.enable"].value == "false"


def test_no_topic_comes_by_itself(whole: Stack) -> None:
    lost: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": whole.address("kafka"), "message.timeout.ms": 5000})
    producer.produce("stack.misspelt", b"x", on_delivery=lambda error, _: lost.append(error))
    producer.flush(30)
    assert len(lost) == 1
    assert lost[0] is not None


def test_nothing_is_lost_when_a_node_is_killed(whole: Stack) -> None:
    create(whole, "stack.kept")
    others = {name: process for name, process in whole.started().items() if name != "kafka-2"}
    done: list[tuple[KafkaError | None, Message]] = []
    producer = Producer({"bootstrap.servers": whole.address("kafka"), "acks": "all", "enable.idempotence": True})
    try:
        for number in range(20_000):
            if number == 5_000:
                producer.flush(60)
                whole.kill("kafka-2")
            producer.produce(
                "stack.kept", str(number).encode(), on_delivery=lambda error, message: done.append((error, message))
            )
            producer.poll(0)
        assert producer.flush(120) == 0
        assert [error for error, _ in done if error is not None] == []
        consumer = Consumer(
            {
                "bootstrap.servers": whole.address("kafka"),
                "group.id": "stack",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe(["stack.kept"])
        seen: list[int] = []
        end = time.monotonic() + 120
        while len(seen) < 20_000 and time.monotonic() < end:
            seen += [int(message.value()) for message in consumer.consume(5_000, 1.0) if message.error() is None]
        consumer.close()
        assert sorted(seen) == list(range(20_000))
    finally:
        whole.start()
    assert {name: process for name, process in whole.started().items() if name != "kafka-2"} == others
    assert all(row.healthy for row in whole.status("kafka"))


def test_schemas_survive_a_kill_of_the_registry_and_compatibility_is_checked(whole: Stack) -> None:
    registry = whole.address("registry")
    made = send_json("POST", f"{registry}/subjects/stack-value/versions", {"schema": AVRO})["id"]
    whole.kill("registry")
    with pytest.raises(NotReady):
        get(f"{registry}/subjects")
    whole.start("registry")
    assert whole.address("registry") == registry
    assert get_json(f"{registry}/schemas/ids/{made}")["schema"]
    assert get_json(f"{registry}/subjects/stack-value/versions") == [1]
    assert get_json(f"{registry}/config")["compatibilityLevel"] == "BACKWARD"
    with pytest.raises(NotReady, match="409"):  # a new field that old records do not fill
        send_json("POST", f"{registry}/subjects/stack-value/versions", {"schema": MORE})


class Session:
    """SQL through the gateway."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.address('gateway')}/v1/sessions"
        self._url += "/" + send_json("POST", self._url, {}, timeout=60.0)["sessionHandle"]

    def run(self, statement: str) -> dict[str, Any]:
        body = {"statement": statement}
        handle = send_json("POST", f"{self._url}/statements", body, timeout=60.0)["operationHandle"]
        operation = f"{self._url}/operations/{handle}"
        until(lambda: get_json(f"{operation}/status", 60.0)["status"] in ("FINISHED", "ERROR"), statement)
        found: dict[str, Any] = get_json(f"{operation}/result/0", 60.0)
        return found


def finished(stack: Stack, job: str) -> bool:
    state: str = get_json(f"{stack.address('jobmanager')}/jobs/{job}")["state"]
    assert state not in ("FAILED", "CANCELED")
    return state == "FINISHED"


def test_flink_runs_sql_and_again_after_its_task_manager_was_killed(whole: Stack) -> None:
    session = Session(whole)
    session.run("CREATE TEMPORARY TABLE made (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1000')")
    session.run("CREATE TEMPORARY TABLE gone (n BIGINT) WITH ('connector' = 'blackhole')")
    job = session.run("INSERT INTO gone SELECT n FROM made")["jobID"]
    until(lambda: finished(whole, job), "the job's end")
    whole.kill("taskmanager")
    whole.start("flink")
    overview = get_json(f"{whole.address('jobmanager')}/taskmanagers")["taskmanagers"]
    assert [found["slotsNumber"] for found in overview if found["freeSlots"]][-1:] == [SLOTS]
    job = session.run("INSERT INTO gone SELECT n FROM made")["jobID"]
    until(lambda: finished(whole, job), "the job's end on a new task manager")


def test_flink_can_read_kafka_with_schemas_and_look_tables_up(whole: Stack) -> None:
    """The classpath is whole: each factory answers, exactly-once and avro-confluent with it."""
    create(whole, "stack.sink")
    session, kafka, registry = Session(whole), whole.address("kafka"), whole.address("registry")
    database = whole.address("postgres").rpartition("@")[2]
    session.run("SET 'execution.checkpointing.interval' = '500 ms'")
    session.run(
        "CREATE TEMPORARY TABLE numbers (n BIGINT, moment AS PROCTIME()) WITH ('connector' = 'datagen', "
        "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '500')"
    )
    session.run(
        "CREATE TEMPORARY TABLE names (datname STRING) WITH ('connector' = 'jdbc', 'table-name' = 'pg_database', "
        f"'username' = 'headrace', 'password' = 'headrace', 'url' = 'jdbc:postgresql://{database}')"
    )
    session.run(
        "CREATE TEMPORARY TABLE kept (n BIGINT, name STRING) WITH ('connector' = 'kafka', 'topic' = 'stack.sink', "
        f"'properties.bootstrap.servers' = '{kafka}', 'format' = 'avro-confluent', 'avro-confluent.url' = "
        f"'{registry}', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'stack', "
        "'properties.transaction.timeout.ms' = '600000')"
    )
    result = session.run(
        "INSERT INTO kept SELECT n, names.datname FROM numbers LEFT JOIN names "
        "FOR SYSTEM_TIME AS OF numbers.moment ON names.datname = CAST(numbers.n AS STRING)"
    )
    until(lambda: finished(whole, result["jobID"]), "the job's end")
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "stack-sink",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(["stack.sink"])
    seen: list[bytes] = []
    end = time.monotonic() + 60
    while len(seen) < 500 and time.monotonic() < end:
        seen += [message.value() for message in consumer.consume(500, 1.0) if message.error() is None]
    consumer.close()
    assert len(set(seen)) == len(seen) == 500
    assert "stack.sink-value" in get_json(f"{registry}/subjects")


def test_the_job_manager_comes_back(whole: Stack) -> None:
    whole.kill("jobmanager")
    whole.start("flink")
    assert get_json(f"{whole.address('jobmanager')}/overview")["slots-total"] >= SLOTS


def test_prometheus_scrapes_flink_and_knows_where_alerts_go(whole: Stack) -> None:
    url = f"{whole.address('prometheus')}/api/v1"
    asked = f"{url}/query?query=flink_jobmanager_taskSlotsTotal"
    until(lambda: get_json(asked)["data"]["result"], "a metric of Flink")
    managers = until(lambda: get_json(f"{url}/alertmanagers")["data"]["activeAlertmanagers"], "Alertmanager")
    assert managers[0]["url"].startswith(whole.address("alertmanager"))
