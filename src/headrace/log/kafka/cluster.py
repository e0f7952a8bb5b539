"""One Kafka cluster: its clients, its topics and offsets, and what goes wrong with them in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar

from headrace.errors import LogError
from headrace.log.batches import Partition
from headrace.log.kafka.client import (
    AdminClient,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    NewTopic,
    OffsetSpec,
    Producer,
    TopicPartition,
)

PATIENCE: Final = 10.0
"""Seconds in which a cluster must answer."""
ELECTION: Final = 60.0
"""Seconds in which partitions that lost their leader must have another."""
_ANSWER: Final = 2.0
"""Seconds for one question, before it is asked again."""
_DEFAULTS: Final = {
    "log_level": 2,
    "socket.connection.setup.timeout.ms": 5_000,
    "topic.metadata.refresh.fast.interval.ms": 20,
    "retry.backoff.ms": 20,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 1_000,
}
_PRODUCER: Final = {
    "acks": "all",
    "enable.idempotence": True,
    "queue.buffering.max.messages": 1_000_000,
    "transaction.timeout.ms": 30_000,
}
_CONSUMER: Final = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 10,  # a fetch that waits holds up the next partition's
    "fetch.queue.backoff.ms": 10,
    "fetch.error.backoff.ms": 50,
}

T = TypeVar("T")


class Problems:
    """What clients tell of their connections. (In `Cluster` it would make a cycle with them: see its `close`.)"""

    def __init__(self) -> None:
        self.worst: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        if self.worst is None or error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.worst = error


class Cluster:
    """The clients of one Kafka.

    servers: host:port, separated by commas. settings: librdkafka's, passed as they are. LogError where no broker
    answers within `PATIENCE`.
    """

    def __init__(self, servers: str, settings: Mapping[str, Any]) -> None:
        self.servers = servers
        self._settings = {"compression.type": "lz4", **_DEFAULTS, **settings, "bootstrap.servers": servers}
        self._problems = Problems()
        shared = {name: value for name, value in self._settings.items() if name != "compression.type"}
        self._shared = shared | {"error_cb": self._problems.note}
        with ExitStack() as opened:
            with self.explained():
                self._admin = opened.enter_context(AdminClient(self._shared))
            self._reach()
            self._open = opened.pop_all()

    def producer(self, **settings: Any) -> Producer:
        """An idempotent producer; transactional where `transactional_id` is given."""
        named = {name.replace("_", "."): value for name, value in settings.items()}
        with self.explained():
            return Producer({**self._settings, "error_cb": self._problems.note, **_PRODUCER, **named})

    def consumer(self, group: str) -> Consumer:
        """A consumer of committed records. It joins no group: partitions are assigned to it."""
        with self.explained():
            return Consumer({**self._shared, **_CONSUMER, "group.id": group})

    def topics(self) -> dict[str, int]:
        """Every topic and the number of its partitions."""
        known = self.until_settled(lambda: self._admin.list_topics(timeout=_ANSWER)).topics.values()
        return {topic.topic: len(topic.partitions) for topic in known if topic.error is None}

    def create(self, name: str, partitions: int, settings: Mapping[str, str]) -> bool:
        """Creates a topic, with the brokers' default replication; False where it exists."""
        topic = NewTopic(name, partitions, -1, config=dict(settings))

        def ask() -> bool:
            (future,) = self._admin.create_topics([topic], request_timeout=PATIENCE).values()
            try:
                future.result(2 * PATIENCE)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return False
                raise
            return True

        if not self.until_settled(ask, f"topic {name}"):
            return False
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:  # until all brokers know it
            if self.topics().get(name) == partitions:
                break
            time.sleep(0.01)
        return True

    def firsts(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset kept in each partition."""
        return self._offsets(places, OffsetSpec.earliest(), IsolationLevel.READ_COMMITTED)

    def ends(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """The offset behind the last committed record of each partition."""
        return self._offsets(places, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)

    def open_ends(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """As `ends`, behind what open transactions wrote too."""
        return self._offsets(places, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    def delete_before(self, offsets: Mapping[Partition, int]) -> None:
        """Drops the records before an offset of each partition."""
        wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        with self.explained():
            for future in self._admin.delete_records(wanted, request_timeout=PATIENCE).values():
                future.result(2 * PATIENCE)

    def close(self) -> None:
        """Ends the admin client here and now: left to the garbage collector, it may end on a thread of its own."""
        self._open.close()

    @contextmanager
    def explained(self, subject: str | None = None) -> Iterator[None]:
        """What Kafka's client raises, as a LogError that names the servers."""
        try:
            yield
        except KafkaException as error:
            raise self.error(error.args[0], subject) from error
        except TimeoutError as error:
            raise self.error(KafkaError(KafkaError._TIMED_OUT), subject) from error

    def error(self, error: KafkaError, subject: str | None = None) -> LogError:
        """In words."""
        where = f"Kafka at {self.servers}"
        remedy = "see that the brokers run and that their addresses are right, and try again"
        if error.code() in _DENIED:
            remedy = "correct the user, the password or the rights, in [profiles.<name>.kafka] and on the brokers"
        cause = error.str()
        if subject is None:
            return LogError(where, cause, remedy)
        return LogError(subject, f"{where} answers: {cause}", remedy)

    def _reach(self) -> None:
        """Sees that a broker answers."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._admin.list_topics(timeout=1.0)
                return
            except KafkaException as error:
                self._admin.poll(0)
                problem = self._problems.worst or error.args[0]
                if problem.code() in _DENIED or time.monotonic() > until:
                    raise self.error(problem) from error

    def _offsets(
        self, places: Iterable[Partition], spec: OffsetSpec, level: IsolationLevel
    ) -> dict[Partition, int]:
        wanted = {TopicPartition(*place): spec for place in places}
        if not wanted:
            return {}

        def ask() -> dict[Partition, int]:
            found = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=_ANSWER)
            return {
                (place.topic, place.partition): future.result(_ANSWER).offset for place, future in found.items()
            }

        return self.until_settled(ask)

    def until_settled(self, ask: Callable[[], T], subject: str | None = None) -> T:
        """Asks again while the cluster elects. (A question to a broker that died may never be answered.)"""
        until = time.monotonic() + ELECTION
        while True:
            try:
                return ask()
            except TimeoutError as error:
                if time.monotonic() > until:
                    raise self.error(KafkaError(KafkaError._TIMED_OUT), subject) from error
                self._learn_leaders()
            except KafkaException as error:
                settles = error.args[0].retriable() or error.args[0].code() in _UNSETTLED
                if not settles or time.monotonic() > until:
                    raise self.error(error.args[0], subject) from error
                if error.args[0].code() in _MOVED:
                    self._learn_leaders()
                time.sleep(0.005)

    def _learn_leaders(self) -> None:
        try:
            self._admin.list_topics(timeout=_ANSWER)
        except KafkaException as error:
            self._problems.worst = error.args[0]


_DENIED: Final = frozenset(
    (
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._SSL,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    )
)
_MOVED: Final = frozenset(
    (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH)
)
"""Answers of a broker that leads a partition no longer, or does not know of its turn yet."""
_UNSETTLED: Final = frozenset(
    (
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # a broker that has not heard of a new topic yet
        KafkaError._TRANSPORT,
        KafkaError._DESTROY_BROKER,
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
    )
)
"""Errors of a cluster that is electing: they pass."""
